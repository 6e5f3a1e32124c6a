"""What the process has imported that programs of tests are forks of."""

from modelwright_trainer.backends.keras.start import start

start()

import modelwright_trainer.backends.keras.estimator  # noqa: E402  (behind TensorFlow's start)
import modelwright_trainer.backends.keras.loop  # noqa: E402, F401
