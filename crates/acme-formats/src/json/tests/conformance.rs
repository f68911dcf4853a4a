//! What RFC 8259 takes and refuses, case by case, for both paths.
//!
//! The names follow the custom of such tables: `y_` must be taken, `n_` must be refused, `i_` the RFC leaves open, and the verdict
//! here is ours.

use super::super::{As, Decoder, Wanted};
use super::equal::{difference, difference_of_values};
use crate::Decode;
use acme_types::{DocumentPath, PathStep};
use arrow::buffer::Buffer;

/// Values, to stand wherever a value may.
const VALUES: &[(&str, &[u8])] = &[
    ("y_null", b"null"),
    ("y_true", b"true"),
    ("y_false", b"false"),
    ("y_zero", b"0"),
    ("y_minus_zero", b"-0"),
    ("y_one_digit", b"7"),
    ("y_seven_digits", b"1234567"),
    ("y_eight_digits", b"12345678"),
    ("y_nine_digits", b"123456789"),
    ("y_sixteen_digits", b"1234567890123456"),
    ("y_eighteen_digits", b"999999999999999999"),
    ("y_largest_i64", b"9223372036854775807"),
    ("y_smallest_i64", b"-9223372036854775808"),
    ("y_beyond_i64", b"9223372036854775808"),
    ("y_beyond_u64", b"-18446744073709551617"),
    ("y_hundred_digits", b"1111111111222222222233333333334444444444555555555566666666667777777777888888888899999999990000000000"),
    ("y_fraction", b"1.5"),
    ("y_fraction_of_zero", b"0.0"),
    ("y_fraction_of_minus_zero", b"-0.0"),
    ("y_long_fraction", b"3.14159265358979323846264338327950288"),
    ("y_exponent", b"1e5"),
    ("y_exponent_capital", b"1E5"),
    ("y_exponent_plus", b"1e+5"),
    ("y_exponent_minus", b"1e-5"),
    ("y_exponent_leading_zero", b"1e05"),
    ("y_exponent_of_zero", b"0e1"),
    ("y_fraction_and_exponent", b"-12.75E+02"),
    ("i_huge_exponent", b"1e9999"),
    ("i_tiny_exponent", b"1e-9999"),
    ("i_exponent_beyond_i32", b"1e99999999999"),
    ("y_empty_text", br#""""#),
    ("y_text", br#""abc""#),
    ("y_text_of_sixteen", br#""0123456789abcdef""#),
    ("y_text_of_fifteen", br#""0123456789abcde""#),
    ("y_text_of_seventeen", br#""0123456789abcdefg""#),
    ("y_text_with_brackets", br#""{}[],:""#),
    ("y_all_escapes", br#""\"\\\/\b\f\n\r\t""#),
    ("y_unicode_escape", br#""\u00e9""#),
    ("y_unicode_escape_capital", br#""\u00E9""#),
    ("y_unicode_escape_mixed", br#""\uaBcD""#),
    ("y_escaped_nul", br#""\u0000""#),
    ("y_escaped_control", br#""\u001f""#),
    ("y_escaped_quote", br#""\u0022""#),
    ("y_surrogate_pair", br#""\ud83d\ude00""#),
    ("y_surrogate_pair_capital", br#""\uD83D\uDE00""#),
    ("y_escape_behind_sixteen", br#""0123456789abcdef\n""#),
    ("y_escape_across_sixteen", br#""0123456789abcde\n""#),
    ("y_two_reverse_solidi_at_the_end", br#""abc\\""#),
    ("y_delete", b"\"\x7f\""),
    ("y_two_bytes", "\"é\"".as_bytes()),
    ("y_three_bytes", "\"東\"".as_bytes()),
    ("y_four_bytes", "\"😀\"".as_bytes()),
    ("y_largest_character", "\"\u{10ffff}\"".as_bytes()),
    ("y_no_character", "\"\u{fffe}\"".as_bytes()),
    ("y_line_separator", "\"\u{2028}\u{2029}\"".as_bytes()),
    ("y_byte_order_mark_in_text", "\"\u{feff}\"".as_bytes()),
    // As JSON they are passed on as they came; to read them as text is refused (see below).
    ("y_high_surrogate_alone", br#""\ud800""#),
    ("y_low_surrogate_alone", br#""\udc00""#),
    ("y_two_high_surrogates", br#""\ud800\ud800""#),
    ("y_surrogates_reversed", br#""\ude00\ud83d""#),
    ("y_empty_array", b"[]"),
    ("y_empty_array_with_space", b"[ ]"),
    ("y_array", b"[1,2]"),
    ("y_array_of_all", b"[null,true,1.5,\"a\",[],{}]"),
    ("y_array_with_spaces", b"[ 1 , 2 ]"),
    ("y_empty_object", b"{}"),
    ("y_empty_object_with_space", b"{ }"),
    ("y_object", b"{\"a\":1}"),
    ("y_object_doubled_name", b"{\"a\":1,\"a\":2}"),
    ("y_object_empty_name", b"{\"\":1}"),
    ("y_object_escaped_name", br#"{"\u0061":1}"#),
    ("y_object_with_spaces", b"{ \"a\" : 1 , \"b\" : 2 }"),
    ("y_object_with_tabs", b"{\t\"a\"\t:\t1\t}"),
    ("y_object_with_carriage_returns", b"{\r\"a\"\r:\r1\r}"),
    ("y_deep_arrays", b"[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]"),
    ("y_deep_objects", b"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}"),
    ("n_nothing", b""),
    ("n_words_cut", b"nul"),
    ("n_word_too_long", b"nulll"),
    ("n_word_capital", b"True"),
    ("n_word_python", b"None"),
    ("n_word_undefined", b"undefined"),
    ("n_nan", b"NaN"),
    ("n_minus_nan", b"-NaN"),
    ("n_infinity", b"Infinity"),
    ("n_minus_infinity", b"-Infinity"),
    ("n_plus", b"+1"),
    ("n_minus_alone", b"-"),
    ("n_two_minus", b"--1"),
    ("n_minus_space", b"- 1"),
    ("n_leading_zero", b"01"),
    ("n_minus_leading_zero", b"-01"),
    ("n_two_zeros", b"00"),
    ("n_leading_zero_long", b"012345678901"),
    ("n_no_whole", b".5"),
    ("n_minus_no_whole", b"-.5"),
    ("n_no_fraction", b"1."),
    ("n_no_fraction_exponent", b"1.e5"),
    ("n_two_points", b"1.2.3"),
    ("n_exponent_alone", b"e5"),
    ("n_no_exponent", b"1e"),
    ("n_no_exponent_plus", b"1e+"),
    ("n_no_exponent_minus", b"1E-"),
    ("n_exponent_fraction", b"1e1.5"),
    ("n_two_exponents", b"1e1e1"),
    ("n_exponent_two_signs", b"1e+-1"),
    ("n_hexadecimal", b"0x10"),
    ("n_digits_grouped", b"1 000"),
    ("n_underscore", b"1_000"),
    ("n_letter_behind", b"1a"),
    ("n_wide_digit", "１".as_bytes()),
    ("n_bare_word", b"abc"),
    ("n_single_quotes", b"'abc'"),
    ("n_open_text", b"\"abc"),
    ("n_open_text_long", b"\"0123456789abcdefghijklmnop"),
    ("n_open_text_escape", b"\"abc\\\""),
    ("n_lone_quote", b"\""),
    ("n_escape_alone", b"\"\\"),
    ("n_unknown_escape", br#""\a""#),
    ("n_hexadecimal_escape", br#""\x41""#),
    ("n_octal_escape", br#""\101""#),
    ("n_escape_capital_u", br#""\U0041""#),
    ("n_escape_apostrophe", br#""\'""#),
    ("n_escape_space", br#""\ ""#),
    ("n_unicode_three_digits", br#""\u00e""#),
    ("n_unicode_no_digit", br#""\u""#),
    ("n_unicode_bad_digit", br#""\u00g0""#),
    ("n_unicode_sign", br#""\u+123""#),
    ("n_unicode_space", br#""\u 123""#),
    ("n_unicode_braces", br#""\u{41}""#),
    ("n_escaped_emoji", "\"\\😀\"".as_bytes()),
    ("n_raw_nul", b"\"\x00\""),
    ("n_raw_tab", b"\"\t\""),
    ("n_raw_carriage_return", b"\"\r\""),
    ("n_raw_unit_separator", b"\"0123456789abcdefg\x1f\""),
    ("n_invalid_utf8", b"\"\xff\""),
    ("n_lone_continuation", b"\"\x80\""),
    ("n_cut_utf8", b"\"\xe6\x9d\""),
    ("n_overlong_utf8", b"\"\xc0\xaf\""),
    ("n_surrogate_utf8", b"\"\xed\xa0\x80\""),
    ("n_beyond_unicode", b"\"\xf4\x90\x80\x80\""),
    ("n_latin_1", b"\"gr\xf6\xdfer\""),
    ("n_invalid_utf8_in_name", b"{\"\xff\":1}"),
    ("n_array_open", b"[1"),
    ("n_array_comma_open", b"[1,"),
    ("n_array_trailing_comma", b"[1,]"),
    ("n_array_leading_comma", b"[,1]"),
    ("n_array_two_commas", b"[1,,2]"),
    ("n_array_comma_alone", b"[,]"),
    ("n_array_no_comma", b"[1 2]"),
    ("n_array_colon", b"[1:2]"),
    ("n_array_wrong_bracket", b"[1}"),
    ("n_array_closed_twice", b"[1]]"),
    ("n_array_semicolon", b"[1;2]"),
    ("n_array_form_feed", b"[1,\x0c2]"),
    ("n_array_no_break_space", "[1,\u{a0}2]".as_bytes()),
    ("n_array_byte_order_mark", "[\u{feff}1]".as_bytes()),
    ("n_object_open", b"{\"a\":1"),
    ("n_object_trailing_comma", b"{\"a\":1,}"),
    ("n_object_leading_comma", b"{,\"a\":1}"),
    ("n_object_two_commas", b"{\"a\":1,,\"b\":2}"),
    ("n_object_no_colon", b"{\"a\" 1}"),
    ("n_object_two_colons", b"{\"a\"::1}"),
    ("n_object_equals", b"{\"a\"=1}"),
    ("n_object_comma_for_colon", b"{\"a\",1}"),
    ("n_object_no_value", b"{\"a\":}"),
    ("n_object_name_alone", b"{\"a\"}"),
    ("n_object_bare_name", b"{a:1}"),
    ("n_object_single_quoted_name", b"{'a':1}"),
    ("n_object_number_name", b"{1:1}"),
    ("n_object_null_name", b"{null:1}"),
    ("n_object_open_name", b"{\"a:1}"),
    ("n_object_wrong_bracket", b"{\"a\":1]"),
    ("n_object_bracket_mixed", b"[{\"a\":[1}]]"),
    ("n_object_no_comma", b"{\"a\":1 \"b\":2}"),
    ("n_object_bad_escape_in_name", br#"{"\a":1}"#),
    ("n_object_control_in_name", b"{\"\x01\":1}"),
    ("n_comment", b"1/**/"),
    ("n_line_comment", b"1//x"),
    ("n_hash_comment", b"1#x"),
    ("n_two_values", b"1 2"),
    ("n_closing_bracket", b"]"),
    ("n_colon", b":"),
];

/// Whole lines.
const LINES: &[(&str, &[u8])] = &[
    ("y_empty", b"{}"),
    ("y_space_around", b" \t{} \t"),
    ("y_carriage_return", b"{}\r"),
    ("y_two_carriage_returns", b"{}\r\r"),
    ("n_array", b"[]"),
    ("n_text", b"\"a\""),
    ("n_number", b"1"),
    ("n_null", b"null"),
    ("n_open", b"{"),
    ("n_closed", b"}"),
    ("n_closed_twice", b"{}}"),
    ("n_two_documents", b"{}{}"),
    ("n_two_documents_with_space", b"{} {}"),
    ("n_comma_behind", b"{},"),
    ("n_byte_order_mark", b"\xef\xbb\xbf{}"),
    ("n_utf16", b"{\x00}\x00"),
    ("n_nul_behind", b"{}\x00"),
    ("n_form_feed_behind", b"{}\x0c"),
    ("n_letter_in_front", b"x{}"),
    ("n_lone_surrogate_in_name", br#"{"\ud800":1}"#),
    ("n_invalid_utf8_in_unwanted_name", b"{\"\xff\":1}"),
];

fn fields() -> Vec<Wanted> {
    let key = |name: &str| PathStep::Key(name.to_owned());
    [vec![key("v")], vec![key("o"), key("v")], vec![key("l"), PathStep::Index(1)]]
        .into_iter()
        .enumerate()
        .map(|(at, path)| Wanted { path: DocumentPath(path), kind: As::Json, column: at.to_string() })
        .collect()
}

#[track_caller]
fn check(name: &str, line: &[u8]) {
    let shown = String::from_utf8_lossy(line);
    let (mut fast, mut careful) = (Decoder::new(fields()), Decoder::careful(fields()));
    let decoded = careful.decode_bytes(&Buffer::from(line), 0);
    let taken = decoded.rejected.is_empty() && decoded.rows.num_rows() == 1;
    match &name[..2] {
        "y_" => assert!(taken, "{name}: {shown}: {:?}", decoded.rejected),
        "n_" => assert!(!taken, "{name}: {shown} is taken"),
        _ => {}
    }
    // At the end of a block, inside one, and when its shape is known.
    let behind = [line, b"\n{\"more\":\"than sixteen bytes follow\"}\n"].concat();
    for block in [line, &behind, &behind] {
        assert_eq!(difference(&mut fast, &mut careful, block), None, "{name}: {shown}");
    }
    // As values of a log, whatever stands around them there.
    for between in [&b"\0"[..], b" ", b"}", b"]}", b"\"}", b"\n", b"1", b",", b"\xff", b""] {
        let known = difference_of_values(&mut fast, &mut careful, &[line, line], between);
        assert_eq!(known, None, "{name}: {shown} between {between:?}");
    }
}

#[test]
fn both_paths_take_and_refuse_what_the_rfc_says() {
    assert!(VALUES.len() + LINES.len() >= 150);
    for (name, value) in VALUES {
        for (front, back) in [
            ("{\"v\":", "}"),
            ("{\"v\": ", " }"),
            ("{\"skipped\":", ",\"v\":1}"),
            ("{\"skipped\":[", "]}"),
            ("{\"skipped\":{\"in\":", "},\"v\":2}"),
            ("{\"o\":{\"v\":", "}}"),
            ("{\"o\":{\"skipped\":", ",\"v\":3}}"),
            ("{\"l\":[0,", "]}"),
            ("{\"v\":1,\"v\":", "}"),
        ] {
            // Two cases are no fault where a list goes on, or is empty.
            if value.is_empty() && front.ends_with('[') {
                continue;
            }
            check(name, &[front.as_bytes(), value, back.as_bytes()].concat());
        }
    }
    for (name, line) in LINES {
        check(name, line);
    }
}

#[test]
fn half_a_surrogate_pair_is_refused_as_text_and_kept_as_json() {
    let line = br#"{"v":"\ud800"}"#;
    for (kind, taken) in [(As::Json, true), (As::Text, false), (As::Scalar, false)] {
        let wanted = vec![Wanted { path: DocumentPath::field("v"), kind, column: "v".to_owned() }];
        let (mut fast, mut careful) = (Decoder::new(wanted.clone()), Decoder::careful(wanted));
        assert_eq!(careful.decode_bytes(&Buffer::from(line), 0).rejected.is_empty(), taken, "{kind:?}");
        assert_eq!(difference(&mut fast, &mut careful, line), None, "{kind:?}");
    }
}
