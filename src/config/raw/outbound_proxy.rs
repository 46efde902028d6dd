//! `outbound_proxy` as it is written.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::document::Node;
use super::super::problem::{Place, Problems};
pub(in crate::config) use super::super::settings::ProxyException;
use super::read::{At, Lost, Many, Read, section};
use super::scalar::{network, text_value};
use crate::wire::url::Host;

section! {
    /// The proxy through which HTTP leaves the network.
    pub(in crate::config) struct OutboundProxy {
        /// `http://` and its host and port. No default.
        url: String,
        /// Who we are there (Basic). Default: nobody.
        user: String,
        /// Absolute path of a file that holds the password and nothing else.
        password_file: String,
        /// Name of the environment variable that holds the password.
        password_env: String,
        /// What is reached without it: hosts (`hooks.corp.example`), all below a domain (`.corp.example`), addresses and
        /// networks. This machine always is. Default: none.
        except: Many<ProxyException>,
    }
    later: []
}

impl Read for ProxyException {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            if text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok() {
                return network(text).map(|network| Self::Network(network.0));
            }
            let (is_domain, name) = match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
                Some(domain) => (true, domain),
                None => (false, text),
            };
            match Host::parse(name) {
                Ok(Host::Name(name)) if is_domain => Ok(Self::Below(name)),
                Ok(Host::Name(name)) => Ok(Self::Host(name)),
                Ok(Host::Address(_)) | Err(_) => {
                    let fix = "write a host, `.corp.example` for all below a domain, or a network such as 192.0.2.0/24";
                    Err((format!("{text:?} is neither a host nor a domain nor a network"), fix.to_owned()))
                }
            }
        })
    }
}
