//! Configurations as operators write them: every shipped one loads, every bad one is told in the words recorded.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use mailslotd::config::check::{Checked, Secrets, Source, Surroundings, check};
use mailslotd::config::problem::Problems;
use mailslotd::config::show::show;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn checked(file: &str, text: &str) -> Result<Checked, Problems> {
    let surroundings = Surroundings {
        state_dir: "/var/lib/mailslotd".into(),
        timezone: TimeZone::UTC,
        secrets: Secrets::Offline,
    };
    check(&[Source { file, text }], &surroundings)
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_shipped_configuration_loads_without_a_warning() {
    let files = [yaml_files("config"), yaml_files("config/examples")].concat();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let checked =
            checked(&path.display().to_string(), &text).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(checked.warnings, Problems::default(), "{}", path.display());
    }
}

#[test]
fn every_key_of_the_shipped_configuration_loads_when_its_comment_is_removed() {
    let text = fs::read_to_string(root().join("config/mailslotd.yaml")).unwrap();
    // `#key:` and, below it, `#  key:` are settings; `# Words` are words.
    let setting = |rest: &&str| !rest.starts_with(' ') && !rest.is_empty() || rest.starts_with("  ");
    let mut uncommented = String::new();
    for line in text.lines() {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let line = rest.strip_prefix('#').filter(setting).unwrap_or(rest);
        uncommented.push_str(&format!("{indent}{line}\n"));
    }
    let checked = checked("mailslotd.yaml", &uncommented)
        .unwrap_or_else(|problems| panic!("{problems}\n{uncommented}"));
    let names: Vec<_> =
        checked.settings.destinations.iter().map(|destination| destination.name.as_str()).collect();
    assert_eq!(names, ["inbox", "smarthost"]);
    assert_eq!(checked.settings.rules.rules()[0].name().as_str(), "ups-alarms");
    assert_eq!(checked.warnings, Problems::default());
}

#[test]
fn every_bad_configuration_is_told_in_the_words_recorded() {
    let files = yaml_files("tests/bad-config");
    assert!(files.len() >= 15, "{files:?}");
    let mut wrong = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let told = match checked(name, &text) {
            Ok(checked) => format!("no problems\n{}\n", checked.warnings),
            Err(problems) => format!("{problems}\n"),
        };
        let expected = fs::read_to_string(path.with_extension("expect")).unwrap_or_default();
        if told != expected {
            wrong.push(format!("=== {name}, expected:\n{expected}--- told:\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_shown_loads_again_and_shows_the_same() {
    let files = [yaml_files("config"), yaml_files("config/examples")].concat();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let first = checked("first.yaml", &text).unwrap();
        let shown = serde_yaml::to_string(&show(&first.settings, &first.secrets)).unwrap();
        let second = checked("shown.yaml", &shown).unwrap_or_else(|problems| panic!("{problems}\n{shown}"));
        assert_eq!(serde_yaml::to_string(&show(&second.settings, &second.secrets)).unwrap(), shown);
    }
}
