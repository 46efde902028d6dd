//! The errors that are known, and what to do about them.

use super::Remedy;

/// A row of the table; the first that fits counts.
pub(super) struct Row {
    /// The `error` of the answer; empty: any.
    pub(super) error: &'static str,
    /// Part of the description, in lower case.
    pub(super) words: &'static str,
    pub(super) remedy: Remedy,
    pub(super) cause: &'static str,
    pub(super) fix: &'static str,
}

const fn operator(error: &'static str, words: &'static str, cause: &'static str, fix: &'static str) -> Row {
    Row { error, words, remedy: Remedy::Operator, cause, fix }
}

const fn other(error: &'static str, words: &'static str, remedy: Remedy, cause: &'static str) -> Row {
    let fix = match remedy {
        Remedy::Clock => "set this machine's clock (NTP)",
        Remedy::Later | Remedy::Wait(_) | Remedy::Operator | Remedy::Pending | Remedy::SlowDown => AGAIN,
    };
    Row { error, words, remedy, cause, fix }
}

/// For what passes.
pub(super) const AGAIN: &str = "it is tried again by itself";
const NEW_SECRET: &str = "make another under Microsoft Entra admin center > App registrations > the application > Certificates & \
     secrets, put its Value (not its Secret ID) into client_secret_file, and set client_secret_expires";
const LOG_IN: &str = "log in again: `mailslotd oauth login DESTINATION`";
const UPLOAD: &str = "upload the certificate of client_certificate under Microsoft Entra admin center > App registrations > the \
     application > Certificates & secrets > Certificates";

/// Codes and words as the providers document them, the narrower row first.
pub(super) const KNOWN: &[Row] = &[
    // Microsoft: the client.
    operator("", "aadsts7000215", "the client secret is wrong", NEW_SECRET),
    operator("", "aadsts7000222", "the client secret has expired", NEW_SECRET),
    operator(
        "",
        "aadsts7000216",
        "no client secret or assertion came along",
        "set client_secret_file or client_certificate",
    ),
    operator(
        "",
        "aadsts7000218",
        "no client secret or assertion came along",
        "set client_secret_file, or for `oauth login` allow public client flows under App registrations > Authentication",
    ),
    operator(
        "",
        "aadsts700016",
        "there is no such application in the tenant",
        "check client_id (the Application (client) ID) and the tenant",
    ),
    operator(
        "",
        "aadsts7000112",
        "the application is disabled",
        "enable it: Microsoft Entra admin center > Enterprise applications > Properties > Enabled for users to sign-in",
    ),
    operator(
        "",
        "aadsts7000229",
        "the application has no service principal in the tenant",
        "let an administrator of the tenant consent to the application",
    ),
    operator(
        "",
        "aadsts700027",
        "the provider does not know the certificate that signs for the application",
        UPLOAD,
    ),
    operator("", "aadsts7000214", "the application's certificate is revoked", UPLOAD),
    other("", "aadsts700024", Remedy::Clock, "the signed assertion is not valid at the provider's time"),
    operator("", "aadsts700023", "the signed assertion names another audience", "check token_url"),
    operator(
        "",
        "aadsts50012",
        "the signature of the assertion is wrong",
        "check that key_file is the key of client_certificate, and that this certificate is uploaded",
    ),
    // Microsoft: the tenant and the scope.
    operator(
        "",
        "aadsts90002",
        "there is no such tenant",
        "check the tenant: its ID, or a name such as example.onmicrosoft.com",
    ),
    operator(
        "",
        "aadsts900023",
        "the tenant is neither an ID nor a domain name",
        "check the tenant in token_url",
    ),
    operator(
        "",
        "aadsts1002012",
        "the scope does not suit client credentials",
        "write a scope that ends in /.default, for mail https://outlook.office365.com/.default",
    ),
    operator(
        "",
        "aadsts70011",
        "the scope is not valid",
        "write scope: https://outlook.office365.com/.default",
    ),
    operator(
        "",
        "aadsts500011",
        "the scope names something that the tenant does not have",
        "write scope: https://outlook.office365.com/.default",
    ),
    operator(
        "",
        "aadsts650057",
        "the application does not ask for that scope",
        "add the permission under App registrations > API permissions",
    ),
    operator(
        "",
        "aadsts65001",
        "nobody has consented to the application",
        "grant admin consent under App registrations > API permissions",
    ),
    operator(
        "",
        "aadsts65004",
        "the user declined",
        "log in again and accept: `mailslotd oauth login DESTINATION`",
    ),
    operator(
        "",
        "aadsts530004",
        "the account may not use this application now",
        "look at the sign-in log of the tenant",
    ),
    operator(
        "",
        "aadsts53003",
        "a conditional access policy blocks the sign-in",
        "exclude the application or this host's address from the policy; the sign-in log of the tenant names it",
    ),
    // Microsoft: the refresh token and its user.
    operator("", "aadsts700082", "the refresh token was not used for too long and has expired", LOG_IN),
    operator("", "aadsts70008", "the refresh token has expired", LOG_IN),
    operator("", "aadsts700084", "the refresh token was issued to a page and has expired", LOG_IN),
    operator("", "aadsts70043", "a policy ended the sign-in", LOG_IN),
    operator("", "aadsts50173", "the user's password was changed or its sign-ins were revoked", LOG_IN),
    operator("", "aadsts50076", "the user must prove itself by a second factor", LOG_IN),
    operator("", "aadsts50079", "the user must set up a second factor", LOG_IN),
    operator("", "aadsts50078", "the user's second factor has expired", LOG_IN),
    operator(
        "",
        "aadsts50034",
        "there is no such user in the tenant",
        "check whom `oauth login` was done with, and the tenant",
    ),
    operator(
        "",
        "aadsts50057",
        "the user's account is disabled",
        "enable it in the Microsoft Entra admin center",
    ),
    operator(
        "",
        "aadsts50053",
        "the account is locked, or this host's address is blocked",
        "unlock it in the Microsoft Entra admin center",
    ),
    operator(
        "",
        "aadsts50055",
        "the user's password has expired",
        "set another, then `mailslotd oauth login DESTINATION`",
    ),
    other("", "aadsts50196", Remedy::Wait(None), "too many requests"),
    other("", "aadsts90033", Remedy::Later, "the provider is not well"),
    other("", "aadsts90019", Remedy::Operator, "the tenant is missing"),
    operator("invalid_request", "aadsts900144", "the request lacks a parameter", "check client_id and scope"),
    // Google.
    other(
        "invalid_grant",
        "short-lived token",
        Remedy::Clock,
        "the signed assertion is not valid at the provider's time",
    ),
    other(
        "invalid_grant",
        "reasonable timeframe",
        Remedy::Clock,
        "the signed assertion is not valid at the provider's time",
    ),
    operator(
        "invalid_grant",
        "invalid jwt signature",
        "the service account does not know the key",
        "make another key in the Google Cloud console > IAM & Admin > Service accounts > Keys, and put its JSON into service_account_file",
    ),
    operator(
        "invalid_grant",
        "account not found",
        "there is no such service account or user",
        "check service_account_file, and that `subject` is a user of the domain",
    ),
    operator(
        "invalid_grant",
        "invalid email or user id",
        "there is no such user",
        "set `subject` to a user of the domain",
    ),
    operator("invalid_grant", "expired or revoked", "the refresh token has expired or was revoked", LOG_IN),
    operator(
        "unauthorized_client",
        "client is unauthorized to retrieve access tokens",
        "the service account may not act for users with this scope",
        "Google Admin console > Security > API controls > Domain-wide delegation: add the service account's client ID with the scope https://mail.google.com/",
    ),
    operator("invalid_client", "oauth client was not found", "there is no such client", "check client_id"),
    operator(
        "deleted_client",
        "",
        "the client was deleted",
        "make another in the Google Cloud console > Credentials",
    ),
    operator(
        "disabled_client",
        "",
        "the client is disabled",
        "enable it in the Google Cloud console > Credentials",
    ),
    operator(
        "admin_policy_enforced",
        "",
        "an administrator of the domain blocks the application",
        "Google Admin console > Security > API controls: trust the application",
    ),
    operator(
        "org_internal",
        "",
        "the application is for its own organisation only",
        "log in with a user of that organisation",
    ),
    // The standards.
    other("temporarily_unavailable", "", Remedy::Later, "the provider is not well"),
    other("server_error", "", Remedy::Later, "the provider is not well"),
    other("internal_failure", "", Remedy::Later, "the provider is not well"),
    other("rate_limit_exceeded", "", Remedy::Wait(None), "it wants no more requests for now"),
    other("authorization_pending", "", Remedy::Pending, "the code has not been typed yet"),
    other("slow_down", "", Remedy::SlowDown, "it was asked too often"),
    operator("authorization_declined", "", "the user declined", LOG_IN),
    operator("access_denied", "", "the user or an administrator declined", LOG_IN),
    operator("expired_token", "", "the code was not typed in time", LOG_IN),
    operator("bad_verification_code", "", "the provider does not know the code", LOG_IN),
    operator(
        "invalid_client",
        "",
        "the client's secret, certificate or id is not what the provider has",
        "check client_id, and client_secret_file or client_certificate",
    ),
    operator("invalid_grant", "", "the refresh token or assertion is not valid any more", LOG_IN),
    operator("interaction_required", "", "the user must log in again", LOG_IN),
    operator(
        "consent_required",
        "",
        "nobody has consented to the application",
        "grant it the permission at the provider",
    ),
    operator(
        "unauthorized_client",
        "",
        "the client may not use this grant",
        "allow the client this grant at the provider, or set `grant` to one that it may use",
    ),
    operator(
        "unsupported_grant_type",
        "",
        "the provider does not know this grant",
        "check `grant` and token_url",
    ),
    operator(
        "invalid_scope",
        "",
        "the provider does not know this scope, or the client may not have it",
        "check `scope`",
    ),
    operator("invalid_resource", "", "the provider does not know what the scope is for", "check `scope`"),
    operator(
        "invalid_request",
        "",
        "the request lacks something or says it twice",
        "check the keys of auth.oauth",
    ),
];
