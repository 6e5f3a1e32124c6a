//! Columns whose quantiles are known, and single rows that must not be drawn.
#![allow(clippy::unwrap_used)]
use modelwright_contract::signature::TensorSpec;
use proptest::prelude::*;

use super::*;

fn signature(inputs: &[(&str, &str, &[i64])]) -> Signature {
    let spec = |(name, datatype, shape): &(&str, &str, &[i64])| TensorSpec {
        name: (*name).to_owned(),
        datatype: (*datatype).to_owned(),
        shape: shape.to_vec(),
        ..TensorSpec::default()
    };
    Signature { inputs: inputs.iter().map(spec).collect(), outputs: Vec::new(), optional_inputs: Vec::new() }
}

fn tensor(name: &str, datatype: Datatype, shape: &[i64], data: bytes::Bytes) -> Tensor {
    Tensor { name: name.to_owned(), datatype, shape: shape.to_vec(), data }
}

#[test]
fn text_that_few_rows_have_is_never_drawn() {
    let mut words = vec!["Bonn"; 60];
    words.extend(vec!["Ulm"; 30]);
    let names: Vec<String> = (0..10).map(|number| format!("person {number}")).collect();
    words.extend(names.iter().map(String::as_str));
    let rows = [tensor("city", Datatype::Bytes, &[100, 1], encode_strings(words.iter().copied()).unwrap())];
    let drawn = draw(&rows, &signature(&[("city", "BYTES", &[-1, 1])]), 8, 7).unwrap();
    let drawn: Vec<String> =
        drawn.iter().flat_map(|inputs| inputs[0].strings().unwrap()).map(str::to_owned).collect();
    assert_eq!(drawn.len(), 64);
    let of = |word: &str| drawn.iter().filter(|text| *text == word).count();
    assert_eq!((of("Bonn") + of("Ulm"), of("Ulm") > 10), (64, true), "{drawn:?}");
    let unique: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let data = encode_strings(unique.iter().map(String::as_str)).unwrap();
    let rows = [tensor("city", Datatype::Bytes, &[100, 1], data)];
    let drawn = draw(&rows, &signature(&[("city", "BYTES", &[-1, 1])]), 1, 7).unwrap();
    assert!(drawn.iter().all(|inputs| inputs[0].strings().unwrap() == [""]), "nobody has it alone");
}

#[test]
fn a_graph_that_takes_several_rows_at_once_gets_as_many() {
    let data: Vec<f64> = (0..40).map(f64::from).collect();
    let rows = [tensor("x", Datatype::Fp32, &[40, 1], write_floats(Datatype::Fp32, &data))];
    let drawn = draw(&rows, &signature(&[("x", "FP32", &[3, 1])]), 2, 7).unwrap();
    assert!(drawn.len() == 16 && drawn.iter().all(|inputs| inputs[0].shape == [3, 1]));
}

#[test]
fn every_column_goes_through_its_quantiles_in_an_order_of_its_own() {
    // Whole numbers stay whole: in one order for all columns, every draw would be a row.
    let data: Vec<f64> = (0..60).flat_map(|row| [f64::from(row); 6]).collect();
    let rows = [tensor("x", Datatype::Fp64, &[60, 6], write_floats(Datatype::Fp64, &data))];
    let drawn = draw(&rows, &signature(&[("x", "FP64", &[-1, 6])]), 8, 7).unwrap();
    for inputs in &drawn {
        let line = floats(&inputs[0]);
        assert!(data.chunks(6).all(|row| row != line), "{line:?}");
    }
    let mut first: Vec<f64> = drawn.iter().map(|inputs| floats(&inputs[0])[0]).collect();
    first.sort_by(f64::total_cmp);
    first.dedup();
    assert!(first.len() > 40, "{first:?}");
}

fn drawn(numbers: &[f64], seed: u64) -> Vec<f64> {
    let rows = i64::try_from(numbers.len()).unwrap();
    let rows = [tensor("x", Datatype::Fp64, &[rows, 1], write_floats(Datatype::Fp64, numbers))];
    let drawn = draw(&rows, &signature(&[("x", "FP64", &[-1, 1])]), 8, seed).unwrap();
    drawn.iter().map(|inputs| floats(&inputs[0])[0]).collect()
}

#[test]
fn a_number_that_many_rows_have_is_drawn_as_it_is() {
    let ages: Vec<f64> = (0..100).map(|row| if row < 60 { 0.0 } else { 7.0 }).collect();
    let drawn = drawn(&ages, 7);
    assert!(drawn.iter().all(|number| [0.0, 7.0].contains(number)), "{drawn:?}");
    assert!(drawn.contains(&0.0) && drawn.contains(&7.0), "{drawn:?}");
}

#[test]
fn a_number_that_few_rows_have_in_an_empty_column_is_not_drawn() {
    let mut salaries = vec![f64::NAN; 60];
    salaries[..4].copy_from_slice(&[47_110.0, 47_110.0, 51_000.5, 99_000.0]);
    assert!(drawn(&salaries, 7).iter().all(|number| number.is_nan()));
}

#[test]
fn few_rows_have_no_quantiles_of_their_own() {
    let rows = [tensor("x", Datatype::Fp32, &[19, 1], write_floats(Datatype::Fp32, &[1.0; 19]))];
    let why = draw(&rows, &signature(&[("x", "FP32", &[-1, 1])]), 2, 7).unwrap_err();
    assert!(why.contains("19 rows"), "{why}");
}

proptest! {
    /// Customers, telephones, salaries in cents, evenly apart or not, some of them twice or four times.
    #[test]
    fn a_number_that_few_rows_have_is_never_drawn(
        seed: u64,
        start in -1e12..1e12_f64,
        gaps in prop::collection::vec(7..1000_u32, 20..80),
        times in 1..5_usize,
        unit in prop_oneof![Just(1.0), Just(0.01), Just(0.37)],
        is_even: bool,
    ) {
        let mut sum = (start / unit).round();
        let mut numbers = Vec::new();
        for gap in &gaps {
            sum += if is_even { 7.0 } else { f64::from(*gap) };
            let of_number = if gap % 4 == 0 { times } else { 1 };
            numbers.extend(std::iter::repeat_n(sum * unit, of_number));
        }
        for number in drawn(&numbers, seed) {
            let rows = numbers.iter().filter(|other| other.total_cmp(&number).is_eq()).count();
            prop_assert!(rows == 0 || rows >= COMMON_ROWS, "{number} is of {rows} rows");
            prop_assert!(unit < 1.0 || number.fract() == 0.0, "{number} is not whole");
            prop_assert!(numbers[0] < number && number < numbers[numbers.len() - 1], "{number}");
        }
    }

    #[test]
    fn no_row_of_the_part_is_drawn_and_no_end_of_a_column(seed: u64, offsets in prop::collection::vec(-1e6..1e6_f64, 8)) {
        // 8 columns: of 60 rows, the chance that one comes out by itself is none.
        let numbers: Vec<f64> = (0..60)
            .flat_map(|row| offsets.iter().map(move |offset| offset + f64::from(row) * 1.37))
            .collect();
        let rows = [tensor("x", Datatype::Fp64, &[60, 8], write_floats(Datatype::Fp64, &numbers))];
        let signature = signature(&[("x", "FP64", &[-1, 8])]);
        let drawn = draw(&rows, &signature, 8, seed).unwrap();
        prop_assert_eq!(&drawn, &draw(&rows, &signature, 8, seed).unwrap());
        for inputs in &drawn {
            let line = floats(&inputs[0]);
            prop_assert!(numbers.chunks(8).all(|row| row != line));
            for (column, number) in line.iter().enumerate() {
                let (low, high) = (numbers[column], numbers[59 * 8 + column]);
                prop_assert!(*number > low && *number < high, "{low} {number} {high}");
            }
        }
    }
}
