//! `mailslotd oauth setup`: what an administrator of the provider does, step by step, and the configuration that follows.

use crate::cli::exit::Exit;
use crate::cli::output::{answer, note};
use crate::wire::smtp::path::Mailbox;

/// Providers whose steps are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Provider {
    /// Microsoft 365: an application that may send for one mailbox
    M365,
    /// Google Workspace: a service account that may act for one user
    Google,
}

/// Prints the steps.
pub(super) fn run(provider: Provider, mailbox: &str, tenant: Option<&str>) -> Exit {
    let address = match Mailbox::parse_ascii(mailbox) {
        Ok(address) => address,
        Err(error) => {
            note(format_args!("--mailbox: {error}; {}", error.fix()));
            return Exit::Usage;
        }
    };
    if !address.as_str().bytes().all(is_plain) || !tenant.unwrap_or_default().bytes().all(is_plain) {
        note("--mailbox and --tenant may have letters, digits and @ . - _ + only: they go into commands");
        return Exit::Usage;
    }
    let domain = address.as_str().rsplit('@').next().unwrap_or_default();
    let text = match provider {
        Provider::M365 => M365,
        Provider::Google => GOOGLE,
    };
    answer(
        text.replace("{mailbox}", address.as_str()).replace("{tenant}", tenant.unwrap_or(domain)).trim_end(),
    );
    Exit::Done
}

/// What needs no quotes in a shell, in PowerShell and in YAML.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'.' | b'-' | b'_' | b'+')
}

const M365: &str = "\
Microsoft 365: an application that may send for {mailbox}, and for nobody else.

1. Microsoft Entra admin center (https://entra.microsoft.com) > Identity > Applications > App registrations > New
   registration. Name: mailslotd. Accounts in this organizational directory only. No redirect URI.
   Note the Application (client) ID: below CLIENT_ID.

2. The application > API permissions > Add a permission > APIs my organization uses > Office 365 Exchange Online >
   Application permissions > SMTP.SendAsApp > Add permissions. Then: Grant admin consent.

3. The application > Certificates & secrets. Either a certificate (safer):
     openssl req -x509 -newkey rsa:2048 -nodes -days 730 -subj /CN=mailslotd -keyout m365.key -out m365.pem
     install -m 0640 -o root -g mailslotd m365.key m365.pem /etc/mailslotd/
   and Upload certificate: m365.pem. Or New client secret: copy its Value (not its Secret ID), note when it expires, and
     install -m 0640 -o root -g mailslotd /dev/stdin /etc/mailslotd/m365.secret

4. Microsoft Entra admin center > Identity > Applications > Enterprise applications > mailslotd > Overview. Note the Object ID:
   below OBJECT_ID. (That of App registrations is another, and does not work.)

5. Exchange Online PowerShell, as an Exchange administrator:
     Install-Module -Name ExchangeOnlineManagement
     Connect-ExchangeOnline -Organization {tenant}
     New-ServicePrincipal -AppId CLIENT_ID -ObjectId OBJECT_ID -DisplayName mailslotd
     Add-MailboxPermission -Identity {mailbox} -User OBJECT_ID -AccessRights FullAccess
     Set-CASMailbox -Identity {mailbox} -SmtpClientAuthenticationDisabled $false
   To send as other addresses too: Add-RecipientPermission -Identity OTHER -Trustee {mailbox} -AccessRights SendAs

6. /etc/mailslotd/mailslotd.yaml:
     destinations:
       smarthost:
         submission:
           preset: m365
           auth:
             oauth:
               grant: client-credentials
               tenant: {tenant}
               client_id: CLIENT_ID
               client_certificate: /etc/mailslotd/m365.pem
               key_file: /etc/mailslotd/m365.key
               # or: client_secret_file: /etc/mailslotd/m365.secret
               #     client_secret_expires: 2027-10-01
               user: {mailbox}
           from: { address: {mailbox} }

7. mailslotd check, then as the service's user: mailslotd oauth test smarthost
   New permissions take up to an hour. `535 5.7.3` until then, or when OBJECT_ID is that of App registrations.
";

const GOOGLE: &str = "\
Google Workspace: a service account that may act for users with the scope of mail; mailslotd acts for {mailbox}.

1. Google Cloud console (https://console.cloud.google.com): a project. APIs & Services > Library > Gmail API > Enable.

2. IAM & Admin > Service accounts > Create service account: mailslotd. No roles. Then the account > Keys > Add key > Create
   new key > JSON, and
     install -m 0640 -o root -g mailslotd KEY.json /etc/mailslotd/google.json
   Note the account's Unique ID (Details > Advanced settings > Client ID): below CLIENT_ID.

3. Google Admin console (https://admin.google.com) > Security > Access and data control > API controls > Manage domain-wide
   delegation > Add new. Client ID: CLIENT_ID. OAuth scope: https://mail.google.com/

4. /etc/mailslotd/mailslotd.yaml:
     destinations:
       smarthost:
         submission:
           preset: google
           auth:
             oauth:
               grant: jwt-bearer
               service_account_file: /etc/mailslotd/google.json
               user: {mailbox}
           from: { address: {mailbox} }

5. mailslotd check, then as the service's user: mailslotd oauth test smarthost
   `unauthorized_client` until the delegation is known everywhere: that takes minutes, at most a day.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_in_the_steps_is_filled() {
        for text in [M365, GOOGLE] {
            let filled = text.replace("{mailbox}", "a@b.example").replace("{tenant}", "b.example");
            let left: Vec<&str> = filled.split('{').skip(1).collect();
            assert!(left.iter().all(|rest| rest.starts_with(" address:")), "{left:?}");
        }
    }

    #[test]
    fn a_mailbox_that_would_end_a_command_is_refused() {
        assert_eq!(run(Provider::M365, "a;b@c.example", None), Exit::Usage);
        assert_eq!(run(Provider::M365, "a@c.example", Some("x y")), Exit::Usage);
    }
}
