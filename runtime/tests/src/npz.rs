//! Writes `.npz` files as NumPy does, and as it does not.

/// The head and elements of one array.
pub fn array(descr: &str, shape: &[usize], elements: &[u8]) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({},), }}", sizes.join(", "));
    with_head(&text, elements)
}

/// An array whose head is any text.
pub fn with_head(text: &str, elements: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), elements].concat()
}

pub fn f32s(shape: &[usize], numbers: &[f32]) -> Vec<u8> {
    array("<f4", shape, &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
}

pub fn f64s(shape: &[usize], numbers: &[f64]) -> Vec<u8> {
    array("<f8", shape, &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
}

pub fn i64s(shape: &[usize], numbers: &[i64]) -> Vec<u8> {
    array("<i8", shape, &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
}

pub fn texts(shape: &[usize], texts: &[&str]) -> Vec<u8> {
    let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    let padded = texts.iter().flat_map(|text| text.chars().chain(std::iter::repeat('\0')).take(width));
    let elements: Vec<u8> = padded.flat_map(|c| u32::from(c).to_le_bytes()).collect();
    array(&format!("<U{width}"), shape, &elements)
}

/// A file of arrays by name.
pub fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let members: Vec<_> = arrays.iter().map(|(name, array)| (format!("{name}.npy"), array.clone())).collect();
    zip(&members)
}

/// A ZIP file of stored members.
pub fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    let two = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    let four = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    for (name, content) in members {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let common = [
            &[0; 8][..],
            &crc.sum().to_le_bytes(),
            &four(content.len()),
            &four(content.len()),
            &two(name.len()),
            &two(0),
        ]
        .concat();
        directory
            .extend([b"PK\x01\x02", &two(20)[..], &two(20), &common, &[0; 10], &four(file.len())].concat());
        directory.extend(name.as_bytes());
        file.extend([b"PK\x03\x04", &two(20)[..], &common, name.as_bytes(), content].concat());
    }
    let (start, count) = (file.len(), two(members.len()));
    file.extend(&directory);
    file.extend(
        [b"PK\x05\x06", &[0; 4][..], &count, &count, &four(directory.len()), &four(start), &two(0)].concat(),
    );
    file
}
