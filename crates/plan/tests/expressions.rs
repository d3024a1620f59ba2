//! Requirements and ranks against a reference that works them out the slow and obvious way, and what they say.

#[path = "expressions/reference.rs"]
mod reference;

use holm_plan::expressions::{MAX_BYTES, MAX_DEPTH, Rank, RankPolicy, Ranked, Requirement};
use proptest::prelude::*;
use reference::{Things, Value};

fn things(values: &[(&str, &[&str])]) -> Things {
    let values = values.iter().map(|(name, texts)| {
        let texts = texts.iter().map(|text| match text.parse() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Text((*text).to_owned()),
        });
        ((*name).to_owned(), texts.collect())
    });
    Things(values.collect())
}

fn met(text: &str, things: &Things) -> bool {
    let requirement = Requirement::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(Some(requirement.met(things)), reference::requirement(text, things), "{text}");
    requirement.met(things)
}

fn rank(text: &str, things: &Things) -> i64 {
    let rank = Rank::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(Some(rank.of(things)), reference::rank(text, things), "{text}");
    rank.of(things)
}

#[test]
fn comparisons_hold_as_the_table_says() {
    let object = things(&[
        ("N", &["5"]),
        ("F", &["2.5"]),
        ("T", &["x86_64"]),
        ("EMPTY", &[""]),
        ("BIG", &["12000"]),
        ("MANY", &["1", "22", "abc"]),
        ("CURRENT_VMS", &["7", "8"]),
        ("HOST/VMS/ID", &["7", "8"]),
    ]);
    for (text, wanted) in [
        ("", true),
        ("  \n\t ", true),
        ("N = 5", true),
        ("N=5.0", true),
        ("N = -5", false),
        ("N != 5", false),
        ("N != 6", true),
        ("N < 5", false),
        ("N < 5.5", true),
        ("N > 4", true),
        ("F = 2.5", true),
        ("F > 2", true),
        // A text that is no number makes every comparison with a number false.
        ("T = 5", false),
        ("T != 5", false),
        ("T < 5", false),
        ("T > 5", false),
        ("EMPTY = \"\"", true),
        ("EMPTY != 0", false),
        // So does a missing variable, and with texts too.
        ("GONE = 5", false),
        ("GONE != 5", false),
        ("GONE != \"a\"", false),
        ("GONE @> 5", false),
        ("!(GONE = 5)", true),
        ("T = x86_64", true),
        ("T = \"x86*\"", true),
        ("T != \"x86*\"", false),
        ("T != arm", true),
        ("T = X86_64", false),
        ("BIG = \"12*\"", true),
        ("BIG = 12000", true),
        // Only the first value counts, but for one of them.
        ("MANY = 22", false),
        ("MANY @> 22", true),
        ("MANY @> 2", false),
        ("MANY @> \"a*\"", true),
        ("MANY != 22", true),
        ("CURRENT_VMS = 8", true),
        ("CURRENT_VMS = 9", false),
        ("CURRENT_VMS != 8", false),
        ("CURRENT_VMS != 9", true),
        ("\"HOST/VMS/ID\" @> 8", true),
        ("\"N\" = 5", true),
        ("\"\" = 5", false),
    ] {
        assert_eq!(met(text, &object), wanted, "{text}");
    }
    assert!(met("CURRENT_VMS != 1", &things(&[])) && !met("CURRENT_VMS = 1", &things(&[])));
}

#[test]
fn operators_group_from_the_left_on_one_level() {
    let object = things(&[("T", &["1"]), ("F", &["0"])]);
    for (text, wanted) in [
        ("T = 1 | T = 1 & F = 1", false),
        ("T = 1 | (T = 1 & F = 1)", true),
        ("F = 1 & F = 1 | T = 1", true),
        ("!T = 1 | T = 1", true),
        ("!(T = 1 | T = 1)", false),
        ("!T = 1 & F = 1", false),
        ("!F = 1 & T = 1", true),
        ("T = 1 & !F = 1 & T = 1", true),
        ("!!T = 1", true),
        ("!!!T = 1", false),
        ("! (! (T = 1)) & !(F = 1)", true),
        ("T ! = 0", true),
        ("T @ > 1", true),
    ] {
        assert_eq!(met(text, &object), wanted, "{text}");
    }
}

#[test]
fn ranks_are_worked_out_as_usual() {
    let object = things(&[("A", &["10"]), ("B", &["4"]), ("HALF", &["0.5"]), ("WORD", &["x"]), ("P/Q", &["3"])]);
    for (text, wanted) in [
        ("", 0),
        ("A", 10),
        ("A + B * 2", 18),
        ("(A + B) * 2", 28),
        ("A - B - 1", 5),
        ("A / B", 2),
        ("-A / B", -2),
        ("A / B * B", 10),
        ("A * -B", -40),
        ("- -A", 10),
        ("-A + B", -6),
        ("-(A + B)", -14),
        ("A-1", 9),
        ("3-2", 1),
        ("A / 0", 0),
        ("A / (B - 4) + 1", 1),
        ("GONE", 0),
        ("GONE + WORD + 2.9", 2),
        ("HALF * 5", 2),
        ("\"P/Q\" * 2", 6),
        ("99999999999999999999", i64::MAX),
        ("-99999999999999999999", i64::MIN),
    ] {
        assert_eq!(rank(text, &object), wanted, "{text}");
    }
    // Infinity less infinity is no number.
    let huge = "9".repeat(308);
    assert_eq!(rank(&format!("{huge} * {huge} - {huge} * {huge}"), &object), 0);
}

#[test]
fn errors_say_where_what_was_found_and_what_was_expected() {
    for (text, at, found, expected) in [
        ("ARCH", 5, "found the end", "expected `=`, `!=`, `<`, `>` or `@>`"),
        ("ARCH = ", 8, "found the end", "a number, a word or a text in double quotes"),
        ("A = 5 &", 8, "found the end", "a comparison such as"),
        ("A = 5 && B = 5", 8, "found `&`", "a comparison such as"),
        ("A = 5 B = 6", 7, "found `B`", "`&`, `|` or the end"),
        ("A = kvm*", 8, "found `*`", "goes in double quotes"),
        ("IP = 10.0.0.1", 10, "found `.`", "goes in double quotes"),
        ("(A = 5", 7, "found the end", "the `)` that closes character 1"),
        ("A = 5)", 6, "found `)`", "`&`, `|` or the end"),
        ("()", 2, "found `)`", "a comparison such as"),
        ("A < b", 5, "found `b`", "expected a number"),
        ("A <= 5", 4, "found `=`", "expected a number"),
        ("A ! 5", 5, "found `5`", "the `=` of `!=`"),
        ("A @ 5", 5, "found `5`", "the `>` of `@>`"),
        ("A = \"x", 5, "a double quote that is never closed", "a text in double quotes"),
        ("5 = A", 1, "found `5`", "a comparison such as"),
        ("ä = 5", 1, "found `ä`", "a comparison such as"),
        ("\"ä\" = $X", 7, "found `$`", "a number, a word"),
        ("A = - 5", 5, "found `-`", "a number, a word"),
    ] {
        let error = Requirement::parse(text).expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.says.contains(found) && error.says.contains(expected), "{text}: {error}");
        assert_eq!(reference::requirement(text, &things(&[])), None, "{text}");
    }
    for (text, at, found, expected) in [
        ("A +", 4, "found the end", "a number, a variable, `-` or `(`"),
        ("A B", 3, "found `B`", "`*`, `/` or the end"),
        ("(A", 3, "found the end", "the `)` that closes character 1"),
        ("A)", 2, "found `)`", "or the end"),
        ("* A", 1, "found `*`", "a variable"),
        ("A = 5", 3, "found `=`", "or the end"),
    ] {
        let error = Rank::parse(text).expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.says.contains(found) && error.says.contains(expected), "{text}: {error}");
        assert_eq!(reference::rank(text, &things(&[])), None, "{text}");
    }
    let error = Requirement::parse(&format!("A = 1{}", "0".repeat(400))).expect_err("beyond bounds");
    assert!(error.at == 5 && error.says.contains("too large") && error.says.len() < 100, "{error}");
}

#[test]
fn length_and_depth_have_limits_and_no_text_is_too_deep_for_the_stack() {
    let nested = |depth: usize, inner: &str| format!("{}{inner}{}", "(".repeat(depth), ")".repeat(depth));
    let object = things(&[("A", &["1"])]);
    assert!(met(&nested(MAX_DEPTH, "A = 1"), &object));
    assert_eq!(rank(&nested(MAX_DEPTH, "A"), &object), 1);
    let error = Requirement::parse(&nested(MAX_DEPTH + 1, "A = 1")).expect_err("too deep");
    assert!(error.at == MAX_DEPTH + 1 && error.says.contains("64 parentheses"), "{error}");
    assert_eq!(Rank::parse(&nested(MAX_DEPTH + 1, "A")).expect_err("too deep").at, MAX_DEPTH + 1);
    assert!(Requirement::parse(&"(".repeat(MAX_BYTES)).is_err() && Rank::parse(&"(".repeat(MAX_BYTES)).is_err());
    assert!(Requirement::parse(&"(".repeat(MAX_BYTES + 1)).expect_err("too long").says.contains("16385 bytes"));
    let signs = MAX_BYTES - 8;
    assert!(Requirement::parse(&format!("{}A = 1", "!".repeat(signs))).expect("is one").met(&object));
    assert_eq!(Rank::parse(&format!("{}A", "-".repeat(signs))).expect("is one").of(&object), 1);
    // A sum and a product wait at every level: the tallest stack there can be.
    let mut tall = "1 + 1 * 1".to_owned();
    for _ in 0..MAX_DEPTH {
        tall = format!("1 + 1 * -({tall})");
    }
    // Each level is 1 less the one inside it, and the innermost is 2.
    assert_eq!(rank(&tall, &object), if MAX_DEPTH.is_multiple_of(2) { 2 } else { -1 });
}

#[test]
fn wildcards_match_as_in_a_shell() {
    for (pattern, text, wanted) in [
        ("*", "", true),
        ("*", "a/b", true),
        ("*", ".x", true),
        ("a*c", "abbc", true),
        ("a*c", "abbd", false),
        ("*a*b", "xaxb", true),
        ("*a*b", "xaxbc", false),
        ("?", "ä", true),
        ("?", "", false),
        ("??", "a", false),
        ("[abc]x", "bx", true),
        ("[!abc]x", "bx", false),
        ("[^abc]x", "dx", true),
        ("[]a]", "]", true),
        ("[!]a]", "]", false),
        ("[a-c]", "b", true),
        ("[c-a]", "b", false),
        ("[a-]", "-", true),
        ("[-a]", "-", true),
        ("[+--]", ",", true),
        ("[--/]", ".", true),
        ("[a-\\c]", "b", true),
        ("[\\]]", "]", true),
        ("[\\]]", "\\", false),
        ("[a", "[a", true),
        ("a[", "a[", true),
        ("[]a", "[]a", true),
        ("[!]", "[!]", true),
        ("[[a]", "[", true),
        ("[[:digit:]x]", "5", true),
        ("[[:digit:]x]", "x", true),
        ("[![:digit:]]", "5", false),
        ("[[:foo:]]", "f", false),
        ("[[:x]", ":", true),
        ("[[:]]", ":]", true),
        ("[[::]]", ":", false),
        ("\\*", "*", true),
        ("\\*", "a", false),
        ("a\\", "a", false),
        ("a\\", "a\\", false),
    ] {
        let object = Things(vec![("A".into(), vec![Value::Text(text.into())])]);
        assert_eq!(met(&format!("A = \"{pattern}\""), &object), wanted, "{pattern} against {text}");
    }
}

/// Would not end within a lifetime if every division of the text were tried.
#[test]
fn many_stars_against_a_long_text_take_no_time() {
    let object = Things(vec![("A".into(), vec![Value::Text("a".repeat(20_000))])]);
    let pattern = format!("A = \"{}b\"", "*a".repeat(40));
    assert!(!Requirement::parse(&pattern).expect("is one").met(&object));
}

#[test]
fn objections_name_the_comparison_that_failed_and_the_value_there_is() {
    let object = things(&[("ARCH", &["x86_64"]), ("N", &["5"]), ("M", &["1", "2", "3", "4", "5", "6", "7"])]);
    for (text, wanted) in [
        ("ARCH = arm", "does not meet the requirement `ARCH = \"arm\"`: ARCH is x86_64"),
        ("RACK = a", "does not meet the requirement `RACK = \"a\"`: it has no RACK"),
        ("M @> 9", "does not meet the requirement `M @> 9`: M is 1, 2, 3, 4, 5 and more"),
        (
            "N = 5 & (N > 6 & N > 9)",
            "does not meet the requirement `N = 5 & (N > 6 & N > 9)`, for `N > 6` is false: N is 5",
        ),
        ("N > 1&!N=5", "does not meet the requirement `N > 1 & !N = 5`, for `!N = 5` is false: N is 5"),
        ("!(N = 5)", "does not meet the requirement `!(N = 5)`: N is 5"),
        ("N = 6 | N = 7", "does not meet the requirement `N = 6 | N = 7`"),
        ("!(N = 5 & N > 4)", "does not meet the requirement `!(N = 5 & N > 4)`"),
    ] {
        let requirement = Requirement::parse(text).expect(text);
        assert_eq!(requirement.objection(&object).as_deref(), Some(wanted));
    }
    // What a user wrote at length is not repeated at length.
    let long = Requirement::parse(&format!("{}N = 6", "N = 5 & ".repeat(900))).expect("is one");
    let says = long.objection(&object).expect("is not met");
    assert!(says.len() < 400 && says.ends_with(", for `N = 6` is false: N is 5"), "{says}");
}

#[test]
fn every_numbered_policy_reads_as_a_rank() {
    use RankPolicy::{Custom, Fixed, LoadAware, Packing, Striping};
    let host = [Packing, Striping, LoadAware, Custom, Fixed];
    let other = [Packing, Striping, Custom, Fixed];
    for (ranked, policies) in
        [(Ranked::Host, &host[..]), (Ranked::Datastore, &other[..]), (Ranked::Network, &other[..])]
    {
        for (number, policy) in (0..).zip(policies) {
            assert_eq!(RankPolicy::numbered(ranked, number), Some(*policy));
            match policy.expression(ranked) {
                Some(text) => assert_eq!(Rank::parse(text).expect(text).to_string(), text),
                None => assert_eq!(*policy, Custom),
            }
        }
        assert_eq!(RankPolicy::numbered(ranked, u32::try_from(policies.len()).expect("few")), None);
    }
    let fuller = things(&[("RUNNING_VMS", &["9"]), ("FREE_MB", &["10"]), ("USED_LEASES", &["90"])]);
    let emptier = things(&[("RUNNING_VMS", &["1"]), ("FREE_MB", &["90"]), ("USED_LEASES", &["10"])]);
    for ranked in [Ranked::Host, Ranked::Datastore, Ranked::Network] {
        for (policy, packs) in [(Packing, true), (Striping, false)] {
            let rank = Rank::parse(policy.expression(ranked).expect("has one")).expect("is one");
            assert_eq!(rank.of(&fuller) > rank.of(&emptier), packs, "{ranked:?} {policy:?}");
        }
    }
}

const NAMES: [&str; 5] = ["A", "B_1", "CURRENT_VMS", "HOST/VMS/ID", "x y"];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&NAMES[..])
        .prop_map(|name| if name.contains(['/', ' ']) { format!("\"{name}\"") } else { name.to_owned() })
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![(-3..4_i64).prop_map(|n| n.to_string()), (0..40_u32).prop_map(|n| format!("{}.{}", n / 10, n % 10))]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", " ", " \n"][..])
}

fn requirements() -> impl Strategy<Value = String> {
    let text = prop_oneof!["[a-c]{1,3}", "\"[a-c*?\\[\\]!^\\\\1:-]{0,6}\""];
    let compared = prop_oneof![
        (name(), prop::sample::select(&["=", "!=", "<", ">", "@>"][..]), number()).boxed(),
        (name(), prop::sample::select(&["=", "!=", "@>"][..]), text).boxed(),
    ];
    let comparison = (compared, space(), space())
        .prop_map(|((name, relation, value), before, after)| format!("{name}{before}{relation}{after}{value}"));
    comparison.prop_recursive(6, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), space(), prop::sample::select(&["&", "|"][..]), inner.clone())
                .prop_map(|(left, space, sign, right)| format!("{left}{space}{sign}{space}{right}")),
            (space(), inner.clone()).prop_map(|(space, inner)| format!("!{space}{inner}")),
            (space(), inner).prop_map(|(space, inner)| format!("({space}{inner}{space})")),
        ]
    })
}

fn ranks() -> impl Strategy<Value = String> {
    let unsigned = prop_oneof![(0..4_i64).prop_map(|n| n.to_string()), (0..40).prop_map(|n: i32| format!("{n}.5"))];
    prop_oneof![name(), unsigned].prop_recursive(6, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), space(), prop::sample::select(&["+", "-", "*", "/"][..]), inner.clone())
                .prop_map(|(left, space, sign, right)| format!("{left}{space}{sign}{space}{right}")),
            (space(), inner.clone()).prop_map(|(space, inner)| format!("-{space}{inner}")),
            (space(), inner).prop_map(|(space, inner)| format!("({space}{inner}{space})")),
        ]
    })
}

/// Words in any order: mostly no expression, but close to one.
fn soup() -> impl Strategy<Value = String> {
    let words: &[&str] = &[
        "A",
        "B_1",
        "CURRENT_VMS",
        "\"x y\"",
        "5",
        "-1",
        "2.5",
        "1.",
        ".",
        "abc",
        "\"a*\"",
        "=",
        "!=",
        "!",
        "<",
        ">",
        "@>",
        "@",
        "&",
        "|",
        "(",
        ")",
        "+",
        "-",
        "*",
        "/",
        "\"",
        "ä",
        "A = 1",
        "A",
        "=",
        "1",
        "&",
        " ",
    ];
    (prop::collection::vec(prop::sample::select(words), 0..12), prop::sample::select(&["", " "][..]))
        .prop_map(|(words, between)| words.join(between))
}

fn objects() -> impl Strategy<Value = Things> {
    let value = prop_oneof![
        (-3..4_i64).prop_map(Value::Number),
        prop::sample::select(&["", "abc", "a", "b-c", "1", "2.5", " 2 ", "nan", "inf", "1e400", "[a]", "a\\"][..])
            .prop_map(|text| Value::Text(text.to_owned())),
    ];
    prop::collection::vec(prop::collection::vec(value, 0..4), NAMES.len())
        .prop_map(|values| Things(NAMES.iter().map(|name| (*name).to_owned()).zip(values).collect()))
}

/// Both kinds say what the reference says, object by object, and stay the same when they are written anew.
fn agrees(text: &str, object: &Things) -> Result<(), TestCaseError> {
    match Requirement::parse(text) {
        Ok(requirement) => {
            let truth = requirement.met(object);
            prop_assert_eq!(Some(truth), reference::requirement(text, object), "{}", text);
            prop_assert_eq!(requirement.objection(object).is_none(), truth, "{}", text);
            prop_assert_eq!(Requirement::parse(&requirement.to_string()), Ok(requirement), "{}", text);
        }
        Err(error) => {
            prop_assert_eq!(reference::requirement(text, object), None, "{}: {}", text, error);
            prop_assert!((1..=text.chars().count() + 1).contains(&error.at), "{}: {}", text, error);
        }
    }
    match Rank::parse(text) {
        Ok(rank) => {
            prop_assert_eq!(Some(rank.of(object)), reference::rank(text, object), "{}", text);
            prop_assert_eq!(Rank::parse(&rank.to_string()), Ok(rank), "{}", text);
        }
        Err(error) => {
            prop_assert_eq!(reference::rank(text, object), None, "{}: {}", text, error);
            prop_assert!((1..=text.chars().count() + 1).contains(&error.at), "{}: {}", text, error);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requirements_agree_with_the_reference(text in requirements(), object in objects()) {
        prop_assert!(Requirement::parse(&text).is_ok(), "{} is a requirement", text);
        agrees(&text, &object)?;
    }

    #[test]
    fn ranks_agree_with_the_reference(text in ranks(), object in objects()) {
        prop_assert!(Rank::parse(&text).is_ok(), "{} is a rank", text);
        agrees(&text, &object)?;
    }

    #[test]
    fn what_is_nearly_an_expression_is_refused_where_the_reference_refuses_it(text in soup(), object in objects()) {
        agrees(&text, &object)?;
    }

    #[test]
    fn no_text_is_too_strange(text in any::<String>(), object in objects()) {
        agrees(&text, &object)?;
    }

    #[test]
    fn wildcards_agree_with_the_reference(
        pattern in "([ab*?\\[\\]!^:\\\\-]|\\[:alpha:\\]|\\[[!^]?[]a-c-]{1,3}\\]){0,7}",
        text in "[abc\\[\\]:-]{0,6}",
    ) {
        let object = Things(vec![("A".into(), vec![Value::Text(text.clone())])]);
        let requirement = Requirement::parse(&format!("A = \"{pattern}\"")).expect("has no quote");
        prop_assert_eq!(requirement.met(&object), reference::wildcard(&pattern, &text), "{} against {}", pattern, text);
    }
}
