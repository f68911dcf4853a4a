//! What went wrong, as the person who must act sees it.

use crate::settings::{Address, Settings};
use crate::tls::SslMode;
use crate::wire::{ServerError, WireError};
use acme_types::{Blame, Diagnostic, Place, codes};

/// Says whether the connection is gone and another may go better.
pub(crate) fn is_transient(error: &WireError) -> bool {
    match error {
        WireError::Io(_) | WireError::Closed => true,
        // Shutdown, crash of another process, starting up, too many connections, connection exceptions, and a slot whose
        // former connection the server has not missed yet.
        WireError::Server(error) => {
            matches!(error.code.as_str(), "57P01" | "57P02" | "57P03" | "53300" | "55006")
                || error.code.starts_with("08")
        }
        WireError::Protocol(_) | WireError::Tls(_) | WireError::Credentials(_) => false,
    }
}

/// A server as messages name it, for sources and destinations alike.
pub(crate) struct Server<'a> {
    /// Where it is.
    pub(crate) address: &'a Address,
    /// Where `connection` stands.
    pub(crate) at: &'a Place,
}

impl Server<'_> {
    /// Names the host, never the password.
    pub(crate) fn name(&self) -> String {
        format!("PostgreSQL at {}:{}", self.address.host, self.address.port)
    }

    /// A failed connection or request.
    pub(crate) fn fault(&self, error: &WireError) -> Diagnostic {
        let server = self.name();
        match error {
            WireError::Io(_) | WireError::Closed => {
                let help = "check that the server runs and that host, port and firewall let us reach it";
                Diagnostic::new(&codes::CONNECT, format!("cannot reach {server}: {error}"))
                    .help(help)
                    .at(self.at)
            }
            WireError::Tls(cause) => {
                let help = if self.address.ssl == SslMode::VerifyFull || self.address.ssl == SslMode::VerifyCa
                {
                    "give the authority's certificate as `sslrootcert`, or use an `sslmode` that verifies less"
                } else {
                    "set up TLS on the server, or use `sslmode=prefer`"
                };
                self.user(format!("no TLS with {server}: {cause}"), help)
            }
            WireError::Credentials(cause) => self.user(
                format!("cannot log in to {server}: {cause}"),
                "put user and password into `connection`",
            ),
            WireError::Protocol(_) => {
                let help = "check that the address is a PostgreSQL server's own, not a pooler's or another service's";
                self.user(format!("{server}: {error}"), help)
            }
            WireError::Server(error) => self.refused(error),
        }
    }

    /// An error that only the user can mend.
    pub(crate) fn user(&self, message: String, help: impl Into<String>) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(&codes::REMOTE, message).help(help.into()).at(self.at);
        diagnostic.blame = Blame::User;
        diagnostic
    }

    fn no_slot_is_free(&self) -> Diagnostic {
        self.user(
            format!("all replication slots of {} are taken", self.name()),
            "drop one that nobody uses (SELECT slot_name, active FROM pg_replication_slots), \
             or raise max_replication_slots and restart the server",
        )
    }

    /// Source: PostgreSQL documentation, "PostgreSQL Error Codes".
    fn refused(&self, error: &ServerError) -> Diagnostic {
        let (server, user) = (self.name(), &self.address.user);
        let words = &error.message;
        match error.code.as_str() {
            "28P01" => self.user(
                format!("{server} refuses the password of user \"{user}\""),
                "correct user and password in `connection`",
            ),
            _ if words.contains("output plugin") => self.user(
                format!("{server} does not allow the output plugin pgoutput: {words}"),
                "add pgoutput to the server's setting output_plugin_libraries",
            ),
            // "WAL sender" since version 16.
            "28000" | "42501"
                if ["replication", "walsender", "WAL sender"].iter().any(|it| words.contains(it)) =>
            {
                self.user(
                    format!("{server} refuses replication: {words}"),
                    format!("run: ALTER ROLE {} REPLICATION;", crate::wire::ident(user)),
                )
            }
            "28000" => self.user(
                format!("{server} refuses user \"{user}\": {words}"),
                "add a line for this user, database and address to the server's pg_hba.conf",
            ),
            "3D000" => self.user(
                format!("{server} has no database \"{}\"", self.address.database),
                "correct the database in `connection`",
            ),
            "42501" => self.user(
                format!("user \"{user}\" may not do this: {words}"),
                "grant the privilege, or use another role",
            ),
            "53400" if words.contains("slots") => self.no_slot_is_free(),
            "57P01" | "57P02" | "57P03" | "53300" | "55006" => {
                Diagnostic::new(&codes::CONNECT, format!("{server}: {words}")).at(self.at)
            }
            code => {
                let detail =
                    if error.detail.is_empty() { String::new() } else { format!(" ({})", error.detail) };
                let message = format!("{server} answers: {words}{detail} [{code}]");
                let mut diagnostic = Diagnostic::new(&codes::REMOTE, message).at(self.at);
                if code.starts_with("08") {
                    diagnostic.code = &codes::CONNECT;
                }
                diagnostic
            }
        }
    }
}

impl Settings {
    fn at_server(&self) -> Server<'_> {
        Server { address: &self.address, at: &self.at }
    }

    /// Names the host, never the password.
    pub(crate) fn server(&self) -> String {
        self.at_server().name()
    }

    /// A failed connection or request.
    pub(crate) fn fault(&self, error: &WireError) -> Diagnostic {
        self.at_server().fault(error)
    }

    /// An error that only the user can mend.
    pub(crate) fn user(&self, message: String, help: impl Into<String>) -> Diagnostic {
        self.at_server().user(message, help)
    }

    /// The server has no room for another slot.
    pub(crate) fn no_slot_is_free(&self) -> Diagnostic {
        self.at_server().no_slot_is_free()
    }

    /// The tables look different from what was planned; everything before the change was handed over.
    pub(crate) fn reshaped(&self, changes: &[String]) -> Diagnostic {
        let help = "start the pipeline again: it goes on exactly here, with the tables' new columns";
        Diagnostic::new(&codes::SCHEMA_CHANGED, changes.join("; ")).help(help).at(&self.at_tables)
    }

    /// The slot is read by somebody else.
    pub(crate) fn taken(&self, slot: &str, pid: &str) -> Diagnostic {
        let message = format!("the replication slot \"{slot}\" is in use by the server process {pid}");
        self.user(message, format!("stop the other reader, or run: SELECT pg_terminate_backend({pid});"))
    }

    /// The position is not there any more.
    pub(crate) fn changed(&self, message: String, help: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&codes::SOURCE_CHANGED, message).help(help.into()).at(&self.at)
    }
}
