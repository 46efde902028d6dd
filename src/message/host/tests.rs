use std::borrow::Cow;

use super::*;
use crate::message::notice::{Arrival, Encoding, Kind, Listener, Name};
use crate::wire::browser::{self, FixedName, ServerType, Version};
use crate::wire::lanman;
use crate::wire::netbios_name::{NameType, NetbiosName};
use crate::wire::oem_text::{CodePage, SenderText, Utf8};

fn notice<'a>(mailslot: &'a str, kind: Kind, data: &'a [u8]) -> Notice<'a> {
    let name = |text, name_type| Name { text: Cow::Borrowed(text), name_type };
    Notice {
        arrival: Arrival {
            at: Timestamp::UNIX_EPOCH,
            source: "192.0.2.7:138".parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        },
        dgm_id: 1,
        source_name: name("Pc01", NameType::WORKSTATION),
        destination_name: name("PLANT", NameType::LOCAL_MASTER),
        mailslot: Cow::Borrowed(mailslot),
        originator: Cow::Borrowed("alice"),
        to: Cow::Borrowed("ALERTS"),
        text: Cow::Borrowed(""),
        encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
        kind,
        data: Cow::Borrowed(data),
    }
}

fn browse(frame: &browser::Frame<'_>) -> HostSighting {
    let mut data = Vec::new();
    frame.emit(&mut data);
    HostSighting::of(&notice(r"\MAILSLOT\BROWSE", Kind::Announcement, &data))
}

fn host(os: (u8, u8), server_type: u32, browser: (u8, u8)) -> browser::Announcement<'static> {
    let version = |(major, minor)| Version { major, minor };
    browser::Announcement {
        update_count: 0,
        period: std::time::Duration::from_secs(720),
        server_name: FixedName::new(b"SCADA1").unwrap(),
        os_version: version(os),
        server_type: ServerType(server_type),
        browser_version: version(browser),
        signature: 0xAA55,
        comment: b"B\x81ro\r\n",
    }
}

#[track_caller]
fn expect_system(os: (u8, u8), server_type: u32, browser: (u8, u8), expected: &str) {
    let guess = SystemGuess::of_announcement(&host(os, server_type, browser));
    assert_eq!(guess.map(|guess| guess.to_string()).unwrap_or_default(), expected);
}

#[test]
fn systems_are_told_by_version_bits_and_browser() {
    let usual = (15, 1);
    expect_system((4, 0), 0x0041_2003, (21, 4), "Windows 98");
    expect_system((4, 0), 0x0041_2003, usual, "Windows 95, 98 or ME (probably)");
    expect_system((4, 9), 0x9A03 | 0x1000, usual, "Samba");
    expect_system((6, 1), 0x0001_9B03, usual, "Samba");
    expect_system((4, 2), 0x0000_1803, usual, "Samba (probably)");
    expect_system((1, 0), 0x0000_0803, usual, "Unix (probably)");
    expect_system((4, 0), 0x0000_1003, usual, "Windows NT 4.0");
    expect_system((5, 1), 0x0000_1003, usual, "Windows XP");
    expect_system((5, 2), 0x0000_9003, usual, "Windows Server 2003");
    expect_system((6, 1), 0x0000_1003, usual, "Windows 7");
    expect_system((6, 1), 0x0000_9003, usual, "Windows Server 2008 R2");
    expect_system((6, 3), 0x0000_100B, usual, "Windows Server 2012 R2");
    expect_system((10, 0), 0x0000_1003, usual, "Windows 10 or 11");
    expect_system((10, 0), 0x0000_0003, usual, "Windows 10 or 11 (probably)");
    expect_system((3, 11), 0x0000_2003, usual, "Windows for Workgroups (probably)");
    expect_system((77, 7), 0x0000_1003, usual, "");
}

#[test]
fn a_host_announcement_tells_name_workgroup_system_roles_and_comment() {
    let sighting = browse(&browser::Frame::HostAnnouncement(host((5, 1), 0x0001_1203, (15, 1))));
    assert_eq!(sighting.name, Some(HostName::Computer("SCADA1".to_owned())), "the frame's own name wins");
    assert_eq!(sighting.workgroup.as_deref(), Some("PLANT"));
    assert_eq!(sighting.system.unwrap().system, System::WindowsXp);
    assert_eq!(sighting.roles.to_string(), "file-server print-server potential-browser");
    assert_eq!(sighting.comment.as_deref(), Some("Büro"));
    assert_eq!((sighting.presence, sighting.message), (Presence::Stays, None));
    assert_eq!(sighting.channel.purpose(), Purpose::Browsing);
}

#[test]
fn a_server_type_of_zero_says_goodbye_and_nothing_of_the_system() {
    let sighting = browse(&browser::Frame::HostAnnouncement(host((6, 1), 0, (15, 1))));
    assert_eq!((sighting.presence, sighting.system), (Presence::Leaves, None));
}

#[test]
fn a_domain_announcement_tells_the_workgroup_and_no_system() {
    let sighting = browse(&browser::Frame::DomainAnnouncement(browser::DomainAnnouncement {
        update_count: 0,
        period: std::time::Duration::from_secs(900),
        machine_group: FixedName::new(b"NBLAB").unwrap(),
        browser_config_version: Version { major: 3, minor: 10 },
        server_type: ServerType(0x8000_1000),
        trailer: *b"\xFE\x07\0\0",
        local_master: b"PDC1",
    }));
    assert_eq!(sighting.name, Some(HostName::Computer("PDC1".to_owned())));
    assert_eq!((sighting.workgroup.as_deref(), sighting.system), (Some("NBLAB"), None));
    assert_eq!(sighting.roles.to_string(), "master-browser");
}

#[test]
fn a_ballot_hints_at_a_system_and_a_zero_one_at_none() {
    let ballot = |criteria| {
        browse(&browser::Frame::RequestElection(browser::Election {
            version: 1,
            criteria: browser::ElectionCriteria(criteria),
            uptime: std::time::Duration::ZERO,
            server_name: b"WIN98PC",
        }))
    };
    let words = |criteria| ballot(criteria).system.map(|guess| guess.to_string()).unwrap_or_default();
    assert_eq!(words(0x2001_0F20), "Windows Server (perhaps)");
    assert_eq!(words(0x1401_0F03), "Samba (perhaps)");
    assert_eq!(words(0), "");
}

#[test]
fn a_better_guess_is_kept_and_a_newer_one_that_is_as_good_replaces_it() {
    let guess = |system, certainty| SystemGuess { system, certainty };
    let sure = guess(System::WindowsXp, Certainty::High);
    assert_eq!(sure.and_then(guess(System::WindowsNt, Certainty::Low)), sure);
    let upgraded = guess(System::Windows10, Certainty::High);
    assert_eq!(sure.and_then(upgraded), upgraded);
}

#[test]
fn a_lan_manager_announces_itself_to_its_workgroup() {
    let announce = |major, server_type| {
        let mut data = Vec::new();
        let host = lanman::Announcement {
            server_type: ServerType(server_type),
            os_version: Version { major, minor: 0 },
            period: std::time::Duration::from_secs(60),
            server_name: b"OS2BOX",
            comment: b"",
        };
        lanman::Frame::Announce(host).emit(&mut data);
        let mut notice = notice(r"\MAILSLOT\LANMAN", Kind::Announcement, &data);
        notice.destination_name.name_type = NameType::WORKSTATION;
        HostSighting::of(&notice)
    };
    let os2 = announce(37, 3);
    assert_eq!(os2.workgroup.as_deref(), Some("PLANT"));
    assert_eq!(os2.system.unwrap().to_string(), "OS/2 (probably)");
    assert_eq!(announce(2, 3).system.unwrap().to_string(), "LAN Manager (perhaps)");
    assert_eq!(announce(6, 0x9B03).system.unwrap().to_string(), "Samba (probably)");
}

#[test]
fn a_logon_request_tells_its_computer_in_either_alphabet() {
    let old = b"\x00\x00PC07\0BOB\0\\MAILSLOT\\TEMP\\NETLOGON\0";
    let sighting = HostSighting::of(&notice(r"\MAILSLOT\NET\NETLOGON", Kind::Announcement, old));
    assert_eq!(sighting.name, Some(HostName::Computer("PC07".to_owned())));
    assert!(sighting.roles.contains(Role::LogonClient));
    assert_eq!(sighting.channel.purpose(), Purpose::Logon);
}

#[test]
fn a_message_tells_from_whom_to_whom() {
    let sighting = HostSighting::of(&notice(r"\MAILSLOT\MESSNGR", Kind::Messenger, b"12345"));
    assert_eq!(sighting.name, Some(HostName::Computer("PC01".to_owned())));
    let message = MessageSeen { from: "ALICE".to_owned(), to: "ALERTS".to_owned() };
    assert_eq!((sighting.message, sighting.octets, sighting.workgroup), (Some(message), 5, None));
    let mut by_session = notice(r"\MAILSLOT\MESSNGR", Kind::Messenger, b"");
    by_session.arrival.listener = Listener::Messenger;
    by_session.source_name.name_type = NameType::MESSENGER;
    let sighting = HostSighting::of(&by_session);
    assert_eq!(sighting.name, Some(HostName::Messenger("PC01".to_owned())));
    assert_eq!(sighting.channel, Channel::Session);
    assert!(sighting.roles.contains(Role::Messenger));
}

#[test]
fn purposes_are_told_by_the_mailslot() {
    for (mailslot, purpose) in [
        ("TCP 139", Purpose::Messenger),
        (r"\MAILSLOT\MESSNGR", Purpose::Messenger),
        (r"\MAILSLOT\LANMAN", Purpose::Browsing),
        (r"\MAILSLOT\NET\GETDC042", Purpose::Logon),
        (r"\MAILSLOT\TEMP\NETLOGON", Purpose::Logon),
        (r"\MAILSLOT\ARCSERVE\DISCOVERY", Purpose::Vendor),
    ] {
        let channel = Channel::named(mailslot);
        assert_eq!((channel.purpose(), channel.to_string().as_str()), (purpose, mailslot));
    }
}

#[test]
fn hostile_names_stay_one_bounded_line() {
    let mut hostile = notice(r"\MAILSLOT\X", Kind::Binary, b"");
    let long = format!("a\u{202E}b\n\u{1B}[2J{}", "x".repeat(5000));
    hostile.source_name.text = Cow::Borrowed(&long);
    hostile.originator = Cow::Borrowed(&long);
    hostile.to = Cow::Borrowed(&long);
    hostile.mailslot = Cow::Borrowed(&long);
    let sighting = HostSighting::of(&hostile);
    let message = sighting.message.unwrap();
    let channel = sighting.channel.to_string();
    for text in [sighting.name.unwrap().text(), &message.from, &message.to, &channel] {
        assert!(text.len() < 200 && text.is_ascii(), "{text}");
        assert!(!text.contains(char::is_control), "{text}");
    }
}

#[test]
fn a_host_without_a_name_and_the_wildcard_are_known_by_their_address_alone() {
    for name in ["", " ", "*"] {
        let mut nameless = notice(r"\MAILSLOT\X", Kind::Binary, b"");
        nameless.source_name.text = Cow::Borrowed(name);
        assert_eq!(HostSighting::of(&nameless).name, None);
    }
}

#[test]
fn words_of_roles_and_systems_read_back() {
    let all: Roles = Role::ALL.into_iter().collect();
    assert_eq!(Roles::from_words(&all.to_string()), all);
    assert_eq!(all.iter().count(), Role::ALL.len(), "each has a bit of its own");
    for system in System::ALL {
        let guess = SystemGuess { system, certainty: Certainty::Medium };
        assert_eq!(SystemGuess::named(system.as_str(), "medium"), Some(guess));
        let json = serde_json::to_string(&guess).unwrap();
        assert_eq!(serde_json::from_str::<SystemGuess>(&json).unwrap(), guess);
    }
}

#[test]
fn a_question_for_a_name_is_kept_in_upper_case_and_its_code_page() {
    let name = NetbiosName::new(b"b\x81ro", NameType::MESSENGER).unwrap();
    let sender = SenderText { code_page: CodePage::Cp850, utf8: Utf8::Never };
    let asker = "192.0.2.7".parse().unwrap();
    let seen = NameQuerySeen::new(Timestamp::UNIX_EPOCH, asker, &name, sender, Silence::Repeated);
    assert_eq!((seen.name.as_str(), seen.name_type), ("BÜRO", NameType::MESSENGER));
}
