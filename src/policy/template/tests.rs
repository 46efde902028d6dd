use super::*;
use crate::message::id::RuleName;
use crate::policy::mapping::tests::{context, notice};

fn render(template: &str, text: &str) -> String {
    let mut notice = notice();
    notice.text = text.into();
    let rule = RuleName::new("ups").unwrap();
    let context = context();
    Template::<Field>::parse(template).unwrap().render_line(Values {
        notice: &notice,
        rule: &rule,
        context: &context,
    })
}

#[test]
fn fields_are_replaced_and_doubled_braces_are_one() {
    assert_eq!(render("UPS {originator}: {{{first_line}}}", "\n on battery \nx"), "UPS UPS-1: {on battery}");
    assert_eq!(
        render("{site}/{host}/{rule}/{source}/{listener}/{time}", ""),
        "plant-1/gw1.plant.example/ups/192.0.2.7/datagram/2026-11-21 19:25:01 +09:00"
    );
}

#[test]
fn a_field_written_by_the_sender_is_not_expanded() {
    assert_eq!(render("{text}", "{site} {{"), "{site} {{");
}

#[test]
fn line_breaks_controls_and_bidi_marks_of_the_sender_do_not_reach_a_subject() {
    let hostile = "a\r\nBcc: x@example.com\u{2028}b\u{202E}c\u{1B}[31m\u{2066}d\u{0}e\u{FEFF}";
    assert_eq!(render("{text}", hostile), "a Bcc: x@example.com bc[31mde");
}

#[test]
fn a_long_text_is_cut_by_characters_and_shows_it() {
    let line = render("{text}", &"電".repeat(5000));
    assert_eq!(line.chars().count(), MAX_LINE);
    assert!(line.ends_with("電…"));
    assert_eq!(render("{text}", &"x".repeat(MAX_LINE)), "x".repeat(MAX_LINE));
}

#[test]
fn an_error_names_the_position_the_field_and_the_one_meant() {
    let error = |text| Template::<Field>::parse(text).unwrap_err().to_string();
    assert_eq!(
        error("UPS {orignator}"),
        "character 5: there is no field {orignator}; did you mean {originator}?"
    );
    assert!(
        error("電{xyzzy}").starts_with("character 2: there is no field {xyzzy}; the fields are {originator}")
    );
    assert_eq!(error("a {to"), "character 3: `{` is not closed; a brace of its own is written `{{`");
    assert_eq!(error("{to} }"), "character 6: `}` closes nothing; a brace of its own is written `}}`");
    assert!(error("{id}").contains("Message-ID"));
}

#[test]
fn only_a_template_of_the_operators_fields_is_the_same_for_every_message() {
    let rule = RuleName::new("ups").unwrap();
    let constant = |text: &str| Template::<Field>::parse(text).unwrap().constant(&rule, &context());
    assert_eq!(constant("{rule}@{site}.example").as_deref(), Some("ups@plant-1.example"));
    for field in Field::ALL.iter().filter(|field| field.origin() != Origin::Operator) {
        assert_eq!(constant(&format!("{{{}}}@example.com", field.as_str())), None, "{field:?}");
    }
}
