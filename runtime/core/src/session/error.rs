//! What can go wrong with a session, for people. ONNX Runtime's words are shortened to what a person can use.

use std::path::{Path, PathBuf};

use modelwright_contract::serving::ExecutionProvider;

use super::{library::LibraryError, validate::InputError};

/// Most characters of ONNX Runtime's own words that are shown.
const MAX_WORDS: usize = 400;

/// A model that is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error("{} is no file; expected an ONNX model", path.display())]
    NoFile { path: PathBuf },
    /// An execution provider that was asked for is not there.
    #[error(
        "the execution provider {asked} was asked for and is not available: {why}. Available here: {available}. Use an \
         image and a node that have it, ask for another one, or set allowFallback"
    )]
    ProviderUnavailable { asked: ExecutionProvider, available: String, why: String },
    /// An input or output that the protocol has no datatype for.
    #[error(
        "{direction} {name:?} of the model is {kind}, which the Open Inference Protocol cannot carry{hint}"
    )]
    UnsupportedValue { direction: &'static str, name: String, kind: String, hint: &'static str },
    /// The system lacks what the graph changes the case of text by.
    #[error(
        "the model changes the case of text by the locale {locale:?} (StringNormalizer), which is not installed here. \
         Modelwright's images have en_US.UTF-8: export the model with that, or run it in an image that \
         has {locale:?}. Outside of an image, install it (Debian: the package locales, then `localedef -i {} -f UTF-8 \
         {locale}`)",
        language(locale)
    )]
    LocaleMissing { locale: String },
    /// ONNX Runtime refuses the file.
    #[error("{} cannot be loaded by ONNX Runtime on {provider}: {why}", path.display())]
    Refused {
        path: PathBuf,
        /// Where it was to run.
        provider: ExecutionProvider,
        why: String,
    },
}

impl LoadError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Library(_) => "NoOnnxRuntime",
            Self::NoFile { .. } => "NoModel",
            Self::ProviderUnavailable { .. } => "ExecutionProviderUnavailable",
            Self::UnsupportedValue { .. } => "UnsupportedSignature",
            Self::LocaleMissing { .. } => "LocaleMissing",
            Self::Refused { .. } => "NotLoadable",
        }
    }

    pub(super) fn refused(path: &Path, provider: ExecutionProvider, message: &str) -> Self {
        if let Some(locale) = missing_locale(message) {
            return Self::LocaleMissing { locale: locale.to_owned() };
        }
        Self::Refused { path: path.to_owned(), provider, why: shorten(message) }
    }
}

/// The locale that ONNX Runtime did not find: it says `Failed to construct locale with name:en_US.UTF-8:` and why.
fn missing_locale(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Failed to construct locale with name:")?;
    Some(rest.split(':').next().unwrap_or(rest))
}

/// A locale's name without its encoding.
fn language(locale: &str) -> &str {
    locale.split('.').next().unwrap_or(locale)
}

/// A run without an answer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The request does not fit the signature.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The graph refuses the values: an index out of range, shapes that do not go together.
    #[error("the model refuses these inputs: {why}")]
    Refused { why: String },
    #[error("the run was cancelled")]
    Cancelled,
    /// The run asked for more memory than runs have here.
    #[error("the model asks for {requested} bytes at once, which runs do not have here now")]
    NoMemory {
        /// How much it asked for at last.
        requested: u64,
    },
    #[error("the model failed: {why}")]
    Failed { why: String },
    /// An output came as something that the protocol cannot carry.
    #[error("the model gave an output {name:?} that is no tensor of a known datatype")]
    NotTensor { name: String },
}

impl RunError {
    /// From ONNX Runtime's words, and whether it blames the inputs.
    pub(super) fn failed(message: &str, blames_inputs: bool) -> Self {
        let why = shorten(message);
        if message.contains("terminate flag") {
            Self::Cancelled
        } else if let Some(requested) = requested(message) {
            Self::NoMemory { requested }
        } else if blames_inputs {
            Self::Refused { why }
        } else {
            Self::Failed { why }
        }
    }
}

/// How much a run asked for that its bound did not let it have: ONNX Runtime says `Available memory of 1 is smaller than
/// requested bytes of 2`.
fn requested(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("is smaller than requested bytes of ")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// What CUDA or one of its libraries says, which ONNX Runtime puts between signatures of its own functions and the names of
/// its files: `CUDA failure 100: no CUDA-capable device is detected ; GPU=0 ; hostname=…`. None if the message is of another
/// origin.
pub(super) fn of_device(message: &str) -> Option<&str> {
    message.match_indices(" failure ").find_map(|(at, word)| {
        let library = message.get(..at)?.rfind(' ').map_or(0, |space| space + 1);
        let (code, _) = message.get(at + word.len()..)?.split_once(": ")?;
        let end = at + message.get(at..)?.find(" ; GPU=")?;
        code.bytes().all(|byte| byte.is_ascii_digit()).then(|| message.get(library..end))?
    })
}

/// Leaves out the places in ONNX Runtime's own source and cuts what is long.
pub(super) fn shorten(message: &str) -> String {
    let mut words = Vec::new();
    let said = message.strip_prefix("[ONNXRuntimeError] : ").and_then(|rest| rest.splitn(3, " : ").nth(2));
    for word in of_device(message).or(said).unwrap_or(message).split_whitespace() {
        if !word.contains("/onnxruntime/") && !word.starts_with("onnxruntime::") {
            words.push(word);
        }
    }
    let text = words.join(" ");
    match text.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_a_foreign_source_are_left_out_and_long_words_are_cut() {
        let message =
            "Non-zero status code. /onnxruntime_src/onnxruntime/core/providers/x.cc:12 indices out of range";
        assert_eq!(shorten(message), "Non-zero status code. indices out of range");
        assert_eq!(shorten("[ONNXRuntimeError] : 1 : FAIL : no : such library"), "no : such library");
        assert_eq!(shorten(&"é".repeat(1000)).chars().count(), MAX_WORDS + 1);
    }

    #[test]
    fn a_locale_that_is_missing_is_named_with_the_way_on() {
        let message = "[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: \
            /onnxruntime_src/onnxruntime/core/providers/cpu/text/string_normalizer.cc:235 \
            onnxruntime::StringNormalizer::Locale::Locale(const std::string&)::<lambda()> Failed to construct locale with \
            name:tr_TR.UTF-8:locale::facet::_S_create_c_locale name not valid:Please, install necessary language-pack-XX";
        let error = LoadError::refused(Path::new("m.onnx"), ExecutionProvider::Cpu, message);
        assert_eq!(error.reason(), "LocaleMissing");
        for part in ["\"tr_TR.UTF-8\"", "localedef -i tr_TR -f UTF-8 tr_TR.UTF-8", "have en_US.UTF-8"] {
            assert!(error.to_string().contains(part), "{part} is missing in: {error}");
        }
    }

    #[test]
    fn a_run_beyond_its_memory_is_told_from_one_that_failed() {
        let message = "/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* onnxruntime::BFCArena::Allocate() \
            Available memory of 128974592 is smaller than requested bytes of 576000000";
        let of = |message: &str| match RunError::failed(message, false) {
            RunError::NoMemory { requested } => Some(requested),
            _ => None,
        };
        assert_eq!(of(message), Some(576_000_000));
        assert_eq!(of("a failure of another kind"), None);
    }

    #[test]
    fn of_a_devices_failure_nothing_is_left_but_its_own_words() {
        let call = "std::conditional_t<THRW, void, common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, int) [with \
            ERRTYPE = cudaError; bool THRW = true; std::conditional_t<THRW, void, common::Status> = void]";
        let message = format!(
            "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:129 {call} \
             /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:121 {call} CUDA failure 100: no CUDA-capable \
             device is detected ; GPU=-1 ; hostname=node-7 ; \
             file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; line=306 ; \
             expr=cudaSetDevice(info_.device_id); "
        );
        assert_eq!(shorten(&message), "CUDA failure 100: no CUDA-capable device is detected");
        let other = "The kernel reported a failure in node Add: shapes ; GPU=0";
        assert_eq!((of_device(other), shorten(other).as_str()), (None, other));
        assert_eq!(
            of_device("CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR"),
            None,
            "it may be about anything"
        );
    }
}
