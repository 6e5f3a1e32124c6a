//! Tensors of the runtime as values of ONNX Runtime and back, without a copy where the layout lets it. In go borrowed
//! tensors or owned values; out come values that borrow, or tensors that own.

use bytemuck::Pod;
use bytes::Bytes;
use ort::{
    session::SessionInputValue,
    value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType},
};

use super::{RunError, run_error, shared, texts::Texts, validate};
use crate::tensor::{Datatype, Tensor, element_count, encode_strings};

/// The protocol's datatype, if it has one.
pub(super) fn datatype(ty: TensorElementType) -> Option<Datatype> {
    Some(match ty {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

/// Most bytes of an output that is copied out of ONNX Runtime's memory.
const SMALL: usize = 1024;

/// One arm a datatype whose elements have a fixed size.
macro_rules! with_element {
    ($datatype:expr, $element:ident => $fixed:expr, bool => $bool:expr, bytes => $bytes:expr) => {
        match $datatype {
            Datatype::Bool => $bool,
            Datatype::Uint8 => {
                type $element = u8;
                $fixed
            }
            Datatype::Uint16 => {
                type $element = u16;
                $fixed
            }
            Datatype::Uint32 => {
                type $element = u32;
                $fixed
            }
            Datatype::Uint64 => {
                type $element = u64;
                $fixed
            }
            Datatype::Int8 => {
                type $element = i8;
                $fixed
            }
            Datatype::Int16 => {
                type $element = i16;
                $fixed
            }
            Datatype::Int32 => {
                type $element = i32;
                $fixed
            }
            Datatype::Int64 => {
                type $element = i64;
                $fixed
            }
            Datatype::Fp16 => {
                type $element = half::f16;
                $fixed
            }
            Datatype::Bf16 => {
                type $element = half::bf16;
                $fixed
            }
            Datatype::Fp32 => {
                type $element = f32;
                $fixed
            }
            Datatype::Fp64 => {
                type $element = f64;
                $fixed
            }
            Datatype::Bytes => $bytes,
        }
    };
}

/// A validated tensor as a value. Its elements are borrowed if they lie aligned, and copied otherwise.
pub(super) fn to_value(tensor: &Tensor) -> Result<SessionInputValue<'_>, RunError> {
    let refused = |error: ort::Error| run_error(&error);
    with_element!(tensor.datatype,
        Element => match bytemuck::try_cast_slice::<u8, Element>(&tensor.data) {
            Ok(data) => borrow(&tensor.shape, data),
            Err(_) => own(&tensor.shape, bytemuck::pod_collect_to_vec::<u8, Element>(&tensor.data)),
        },
        bool => match bytemuck::checked::try_cast_slice::<u8, bool>(&tensor.data) {
            Ok(data) => borrow(&tensor.shape, data),
            Err(_) => own(&tensor.shape, tensor.data.iter().map(|byte| *byte != 0).collect()),
        },
        bytes => {
            let layout = |source| validate::InputError::Layout { name: tensor.name.clone(), source };
            let strings: Vec<String> = tensor.strings().map_err(layout)?.into_iter().map(str::to_owned).collect();
            let shape = tensor.shape.clone();
            ort::value::Tensor::from_string_array((shape, strings.as_slice())).map(Into::into).map_err(refused)
        }
    )
}

fn borrow<'a, T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static>(
    shape: &'a [i64],
    data: &'a [T],
) -> Result<SessionInputValue<'a>, RunError> {
    TensorRef::from_array_view((shape, data)).map(Into::into).map_err(|error| run_error(&error))
}

fn own<T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static>(
    shape: &[i64],
    data: Vec<T>,
) -> Result<SessionInputValue<'static>, RunError> {
    ort::value::Tensor::from_array((shape.to_vec(), data)).map(Into::into).map_err(|error| run_error(&error))
}

/// An output as a tensor. Elements of a fixed size stay where ONNX Runtime wrote them, and the tensor owns that memory;
/// those of an input that the graph hands through lie in memory that is borrowed, and are copied.
pub(super) fn from_value(
    name: &str,
    value: DynValue,
    borrowed: bool,
    texts: &Texts,
) -> Result<Tensor, RunError> {
    let no_tensor = || RunError::NotTensor { name: name.to_owned() };
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else { return Err(no_tensor()) };
    let datatype = datatype(*ty).ok_or_else(no_tensor)?;
    let shape = shape.to_vec();
    let refused = |error: ort::Error| run_error(&error);
    let data = with_element!(datatype,
        Element => take::<Element>(value, borrowed)?,
        bool => {
            let (_, data) = value.try_extract_tensor::<bool>().map_err(refused)?;
            // A hostile graph may hold other bytes than 0 and 1, so they are never read as `bool`.
            bytemuck::cast_slice::<bool, u8>(data).iter().map(|byte| u8::from(*byte != 0)).collect()
        },
        bytes => {
            let count = element_count(&shape).unwrap_or(usize::MAX);
            let _held = texts.hold(count, shared::text_bytes(&value).map_err(refused)?)?;
            let strings = if count == 0 { Vec::new() } else { value.try_extract_strings().map_err(refused)?.1 };
            if strings.iter().any(|string| string.contains('\0')) {
                let why = format!("output {name:?} holds a text with a NUL, which BYTES cannot be");
                return Err(refused(ort::Error::new(why)));
            }
            encode_strings(strings).ok_or_else(no_tensor)?
        }
    );
    Ok(Tensor { name: name.to_owned(), datatype, shape, data })
}

/// Output that is shared as bytes for as long as somebody reads it.
struct Held<T> {
    value: DynValue,
    element: std::marker::PhantomData<fn() -> T>,
}

impl<T: PrimitiveTensorElementType + Pod> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        // Whether it can be read was asked before it was put here.
        self.value.try_extract_tensor::<T>().map(|(_, data)| bytemuck::cast_slice(data)).unwrap_or_default()
    }
}

fn take<T: PrimitiveTensorElementType + Pod>(value: DynValue, borrowed: bool) -> Result<Bytes, RunError> {
    let (_, data) = value.try_extract_tensor::<T>().map_err(|error| run_error(&error))?;
    // Small outputs are cheaper to copy than to share.
    if borrowed || size_of_val(data) <= SMALL {
        return Ok(Bytes::copy_from_slice(bytemuck::cast_slice(data)));
    }
    Ok(Bytes::from_owner(Held::<T> { value, element: std::marker::PhantomData }))
}
