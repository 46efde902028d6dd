//! The file on a disk, with the looks of a real second apart left out: each test ends the pause itself.

use Existence::{Known, Unavailable, Unknown};

use super::*;
use crate::wire::smtp::path::Mailbox;

struct Scene {
    _dir: tempfile::TempDir,
    path: PathBuf,
    file: AddressFile,
}

impl Scene {
    fn new(text: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recipients.txt");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let file = AddressFile::open(&path);
        Self { _dir: dir, path, file }
    }

    /// As if the pause between two looks were over.
    async fn look_up(&self, address: &str) -> Existence {
        self.file.state().watch.end_pause();
        self.file.look_up(&Address::of(&Mailbox::parse(address).unwrap())).await
    }

    async fn look_up_both(&self) -> (Existence, Existence) {
        (self.look_up("ops@corp.example").await, self.look_up("night@corp.example").await)
    }
}

#[tokio::test]
async fn an_address_that_is_added_is_never_refused_meanwhile_and_then_known() {
    let scene = Scene::new(Some("ops@corp.example\n"));
    assert_eq!(scene.look_up_both().await, (Known, Unknown));
    std::fs::write(&scene.path, "ops@corp.example\nnight@corp.example\n").unwrap();
    assert_eq!(scene.look_up("night@corp.example").await, Unavailable);
    assert_eq!(scene.look_up_both().await, (Known, Known));
}

#[tokio::test]
async fn a_file_that_breaks_or_goes_keeps_its_last_good_content() {
    let scene = Scene::new(Some("ops@corp.example\n"));
    std::fs::write(&scene.path, "ops@corp.example\nnot an address\n").unwrap();
    scene.look_up_both().await;
    assert_eq!(scene.look_up_both().await, (Known, Unknown));
    let fault = scene.file.fault().unwrap();
    assert!(fault.contains("recipients.txt: line 2: \"not an address\""), "{fault}");
    std::fs::remove_file(&scene.path).unwrap();
    scene.look_up_both().await;
    assert_eq!(scene.look_up_both().await, (Known, Unknown));
    std::fs::write(&scene.path, "night@corp.example\n").unwrap();
    scene.look_up_both().await;
    assert_eq!(scene.look_up_both().await, (Unknown, Known));
    assert_eq!(scene.file.fault(), None);
}

#[tokio::test]
async fn a_file_that_never_could_be_read_refuses_nobody() {
    for text in [None, Some(""), Some("broken\n")] {
        let scene = Scene::new(text);
        for _ in 0..3 {
            assert_eq!(scene.look_up_both().await, (Unavailable, Unavailable), "{text:?}");
        }
        std::fs::write(&scene.path, "ops@corp.example\n").unwrap();
        scene.look_up_both().await;
        assert_eq!(scene.look_up_both().await, (Known, Unknown), "{text:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_read_into_memory() {
    let scene = Scene::new(None);
    File::create(&scene.path).unwrap().set_len(MAX_OCTETS + 1).unwrap();
    scene.look_up_both().await;
    assert_eq!(scene.look_up_both().await, (Unavailable, Unavailable));
    assert!(scene.file.fault().unwrap().contains("is larger than 16777216 octets"));
}
