//! A legacy display that none of us wrote: nmbd, which owns its name, and smbd with a message command, on a host of a
//! [`Lan`](super::namespace::Lan).

use std::time::Duration;

use super::namespace::{Host, Running, wait_for};
use super::samba::Nmbd;
use super::samba_folder::SambaFolder;
use super::{Missing, has_program};

/// It shows a message by putting it into a folder.
pub(crate) struct Display {
    smbd: Running,
    folder: SambaFolder,
    _nmbd: Nmbd,
}

impl Display {
    /// Starts it under this NetBIOS name and waits until it takes messages.
    pub(crate) fn start(host: &Host, netbios_name: &str) -> Result<Self, Missing> {
        if !has_program("smbd") {
            return Err(Missing("smbd is missing: apt-get install samba".to_owned()));
        }
        let nmbd = Nmbd::start(host, netbios_name)?;
        let folder = SambaFolder::of_display(netbios_name, "interfaces = eth0 lo\nsmb ports = 139\n");
        let temporary = format!("TMPDIR={}", folder.path("tmp"));
        let arguments = [&*temporary, "smbd", "-F", "--no-process-group", "-s", &folder.configuration()];
        let smbd = host.start("env", &arguments, folder.path("output").into());
        let display = Self { smbd, folder, _nmbd: nmbd };
        wait_for(Duration::from_secs(60), "smbd listens", || {
            let sockets = super::namespace::output(host.command("cat").arg("/proc/net/tcp")).unwrap();
            assert!(!display.smbd.said().contains("ERROR"), "{}", display.smbd.said());
            sockets.contains(":008B ").then_some(())
        });
        Ok(display)
    }

    /// The messages that it has shown, in no order.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.folder.messages()
    }

    /// Waits for its first message.
    pub(crate) fn message(&self) -> String {
        wait_for(Duration::from_secs(60), "the display shows a message", || {
            self.messages().pop().filter(|text| !text.is_empty())
        })
    }
}
