//! The report: one HTML page that stands alone, for the people who decide about the migration.
//!
//! Nothing in it is fetched or run: no script, no font, no picture, and a policy that forbids them, since every name in it
//! was chosen by whoever sent it.

use std::fmt::{self, Write as _};

use super::hosts::{Assessed, minute, verdict};
use super::names::{MEANING, askers, unanswered};
use crate::inventory::{Dependence, Snapshot};

/// The whole page.
pub(super) fn report(assessed: &[Assessed<'_>], snapshot: &Snapshot, claimed: &[String]) -> String {
    let mut page = Page(String::from(HEAD));
    page.line(format_args!("<h1>Who still depends on NetBIOS mailslots</h1>"));
    page.line(format_args!(
        "<p class=\"when\">As of {} UTC, by mailslotd {}. Every name is a claim of its sender.</p>",
        minute(snapshot.taken_at),
        env!("CARGO_PKG_VERSION"),
    ));
    page.line(format_args!("<p class=\"verdict\">{}</p>", Escaped(&verdict(assessed))));
    page.counts(assessed);
    for (dependence, heading) in SECTIONS {
        let of: Vec<_> = assessed.iter().filter(|each| each.if_switched_off == dependence).collect();
        if of.is_empty() {
            continue;
        }
        page.line(format_args!("<h2>{heading}</h2>"));
        match dependence {
            Dependence::Breaks | Dependence::Logon => of.into_iter().for_each(|each| page.host(each)),
            Dependence::Quiet | Dependence::Announces => page.table(&of),
        }
    }
    page.names(snapshot, claimed);
    page.line(format_args!("</main></body></html>"));
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        writeln!(self.0, "{line}").ok();
    }

    fn counts(&mut self, assessed: &[Assessed<'_>]) {
        self.line(format_args!("<ul class=\"counts\">"));
        for (dependence, heading) in SECTIONS {
            let count = assessed.iter().filter(|each| each.if_switched_off == dependence).count();
            self.line(format_args!(
                "<li class=\"{}\"><strong>{count}</strong> {heading}</li>",
                dependence.as_str()
            ));
        }
        self.line(format_args!("</ul>"));
    }

    fn host(&mut self, assessed: &Assessed<'_>) {
        let host = assessed.host;
        self.line(format_args!("<article class=\"{}\">", assessed.if_switched_off.as_str()));
        self.line(format_args!("<h3>{}</h3><dl>", Escaped(&host.name)));
        let addresses: Vec<String> = host.addresses.iter().map(|seen| seen.address.to_string()).collect();
        self.fact("Addresses", &addresses.join(", "));
        self.fact("Workgroup", host.workgroup.as_deref().unwrap_or_default());
        self.fact("System", &assessed.system());
        self.fact("Roles", &host.roles.to_string().replace(' ', ", "));
        self.fact("Comment", host.comment.as_deref().unwrap_or_default());
        self.fact("Heard", &format!("{} to {}", minute(host.first_seen), minute(host.last_seen)));
        self.line(format_args!("</dl>"));
        if !host.messages.is_empty() {
            self.line(format_args!(
                "<table><thead><tr><th>From</th><th>To</th><th>Through</th><th>Count</th><th>Last</th></tr></thead><tbody>"
            ));
            for sent in &host.messages {
                self.line(format_args!(
                    "<tr><td>{}</td><td>{}</td><td><code>{}</code></td><td class=\"number\">{}</td><td>{}</td></tr>",
                    Escaped(&sent.from),
                    Escaped(&sent.to),
                    Escaped(&sent.channel.to_string()),
                    sent.count,
                    minute(sent.last_seen),
                ));
            }
            self.line(format_args!("</tbody></table>"));
        }
        for sentence in &assessed.advice {
            self.line(format_args!("<p class=\"advice\">{}</p>", Escaped(sentence)));
        }
        self.line(format_args!("</article>"));
    }

    fn fact(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.line(format_args!("<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(value)));
        }
    }

    fn table(&mut self, assessed: &[&Assessed<'_>]) {
        self.line(format_args!(
            "<table><thead><tr><th>Name</th><th>Address</th><th>Workgroup</th><th>System</th><th>Sent</th>\
             <th>Last needed</th><th>Last heard</th></tr></thead><tbody>"
        ));
        for each in assessed {
            let host = each.host;
            self.line(format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                Escaped(&host.name),
                Escaped(&each.addresses()),
                Escaped(host.workgroup.as_deref().unwrap_or_default()),
                Escaped(&each.system()),
                Escaped(&each.sends()),
                host.last_needed().map(minute).unwrap_or_default(),
                minute(host.last_seen),
            ));
        }
        self.line(format_args!("</tbody></table>"));
    }

    fn names(&mut self, snapshot: &Snapshot, claimed: &[String]) {
        let names = unanswered(snapshot, claimed);
        self.line(format_args!("<h2>Names that nobody answers for</h2>"));
        if names.is_empty() {
            self.line(format_args!(
                "<p>No question for a messenger name was heard that stayed unanswered.</p>"
            ));
        } else {
            self.line(format_args!(
                "<table><thead><tr><th>Name</th><th>Asked</th><th>Repeated</th><th>Last asked</th><th>By</th></tr></thead><tbody>"
            ));
            for name in names {
                self.line(format_args!(
                    "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td><td>{}</td></tr>",
                    Escaped(&format!("{}{}", name.name, name.name_type)),
                    name.asked,
                    name.repeated,
                    minute(name.last_seen),
                    Escaped(&askers(name, snapshot, 8)),
                ));
            }
            self.line(format_args!("</tbody></table>"));
        }
        for sentence in MEANING {
            self.line(format_args!("<p class=\"note\">{}</p>", Escaped(sentence)));
        }
    }
}

/// Text between tags or in a quoted attribute, whatever it holds.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

const SECTIONS: [(Dependence, &str); 4] = [
    (Dependence::Breaks, "Would be missed if switched off today"),
    (Dependence::Logon, "Search their logon servers by mailslot"),
    (Dependence::Quiet, "Sent something once, nothing for 30 days"),
    (Dependence::Announces, "Only announce themselves"),
];

const HEAD: &str = "\
<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>Legacy NetBIOS inventory</title>
<style>
:root { color-scheme: light dark; --ink: #1c2330; --paper: #fff; --line: #d5dae2; --soft: #f4f6f9; --bad: #b3261e; --warn: #9a6700; --good: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --paper: #14181f; --line: #39414d; --soft: #1d232c; --bad: #ff8a80; --warn: #e3b341; --good: #56d364; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; } h3 { margin: 0 0 .4rem; }
.when, .note { opacity: .75; } .verdict { font-size: 1.1rem; font-weight: 600; }
.counts { display: flex; flex-wrap: wrap; gap: .6rem; padding: 0; list-style: none; }
.counts li { flex: 1 1 10rem; padding: .6rem .8rem; background: var(--soft); border-left: 4px solid var(--line); }
.counts strong { display: block; font-size: 1.5rem; }
.counts .breaks, article.breaks { border-left-color: var(--bad); } .counts .logon, article.logon { border-left-color: var(--warn); } .counts .announces { border-left-color: var(--good); }
article { margin: .8rem 0; padding: .8rem 1rem; background: var(--soft); border-left: 4px solid var(--line); break-inside: avoid; }
dl { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; margin: 0 0 .6rem; } dt { display: inline; opacity: .7; } dt::after { content: \": \"; } dd { display: inline; margin: 0; }
table { width: 100%; border-collapse: collapse; } th, td { padding: .3rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; } .number { text-align: right; }
.advice { margin: .5rem 0 0; } .advice::before { content: \"\\2192 \"; }
@media print { :root { --ink: #000; --paper: #fff; --soft: #fff; } main { max-width: none; padding: 0; } thead { display: table-header-group; } tr { break-inside: avoid; } h2 { break-after: avoid; } }
</style></head><body><main>
";

#[cfg(test)]
mod tests {
    use super::super::hosts::assess;
    use super::super::hosts::tests::{host, snapshot};
    use super::*;

    fn page(hosts: Vec<crate::inventory::Host>) -> String {
        let snapshot = snapshot(hosts);
        report(&assess(&snapshot), &snapshot, &[])
    }

    #[test]
    fn a_host_that_would_be_missed_is_told_in_full_and_others_in_a_table() {
        let page = page(vec![
            host("SCADA1", r"\MAILSLOT\MESSNGR", "2026-02-28T03:04:05Z"),
            host("OLDPC", r"\MAILSLOT\MESSNGR", "2026-01-02T03:04:05Z"),
        ]);
        for part in [
            "<h3>SCADA1</h3>",
            "<dd>Windows NT 4.0</dd>",
            "<td>SCADA1</td><td>ALERTS</td>",
            "net send",
            "<tr><td>OLDPC</td><td>192.0.2.7</td>",
            "messages of one host would be lost: SCADA1.",
            "WINS server",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }

    #[test]
    fn markup_in_names_is_text_and_nothing_is_run_or_fetched() {
        let evil = "<script>alert('1')</script>\"&";
        let mut host = host(evil, evil, "2026-02-28T03:04:05Z");
        host.comment = Some(evil.to_owned());
        host.workgroup = Some(evil.to_owned());
        let mut quiet = host.clone();
        (quiet.name, quiet.channels[0].last_seen) =
            (format!("{evil}2"), "2025-01-01T00:00:00Z".parse().unwrap());
        let page = page(vec![host, quiet]);
        assert!(!page.contains("<script") && !page.contains("alert('"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;"));
        for fetched in ["http://", "https://", "src=", "url(", "@import", "<link"] {
            assert!(!page.contains(fetched), "{fetched}");
        }
        let (opened, closed) = (page.matches("<article").count(), page.matches("</article>").count());
        assert_eq!((opened, closed), (1, 1));
    }
}
