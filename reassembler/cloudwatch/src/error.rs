//! What can go wrong between this program and CloudWatch Logs, and what it means for the next call.

/// What a failure means for the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The whole account was asked too often: every call waits.
    Throttled,
    /// Passes by itself: an outage, a broken connection or answer.
    Transient,
    /// Passes when credentials are renewed.
    Credentials,
    /// The service does not take a parameter; where that is the token of a page, the window is read anew.
    Parameter,
    /// About this group alone, until a person changes something.
    Group,
}

/// What can go wrong at CloudWatch Logs. Every text says what is wrong, where, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogsError {
    /// Asked too often.
    #[error("{place} is asked too often ({detail})")]
    Throttled {
        /// Endpoint.
        place: String,
        /// The service's own words.
        detail: String,
    },
    /// No answer, or one that is not the service's.
    #[error("cannot reach {place} ({detail}): check the region, the endpoint, DNS, proxy and network")]
    Unreachable {
        /// Endpoint.
        place: String,
        /// Why.
        detail: String,
    },
    /// The service answered that it cannot now.
    #[error("{place} cannot answer now ({detail})")]
    Unavailable {
        /// Endpoint.
        place: String,
        /// The service's own words.
        detail: String,
    },
    /// The log group does not exist.
    #[error(
        "log group {group} does not exist at {place}: correct its name or the region; where it is followed, it is waited for"
    )]
    NoSuchGroup {
        /// The group.
        group: String,
        /// Endpoint.
        place: String,
    },
    /// A parameter is not taken.
    #[error("{place} does not take the request for {group} ({detail}): correct the group's name or the stream prefix")]
    Parameter {
        /// The group, or the prefix of groups.
        group: String,
        /// Endpoint.
        place: String,
        /// The service's own words.
        detail: String,
    },
    /// The credentials are good, but may not do this.
    #[error("access to log group {group} at {place} is denied ({detail}): the role or user needs {needs} on it")]
    AccessDenied {
        /// The group, or the prefix of groups.
        group: String,
        /// Endpoint.
        place: String,
        /// The permission.
        needs: &'static str,
        /// The service's own words.
        detail: String,
    },
    /// No credentials, wrong ones, or ones that have expired.
    #[error(
        "no good credentials for {place} ({detail}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or give the machine a role; \
         they are loaded again at the next try"
    )]
    Credentials {
        /// Endpoint.
        place: String,
        /// The service's or the chain's own words.
        detail: String,
    },
    /// This machine's clock and the service's differ by too much.
    #[error("{place} says that this machine's clock is wrong ({detail}): set the clock (NTP)")]
    SkewedClock {
        /// Endpoint.
        place: String,
        /// The service's own words.
        detail: String,
    },
    /// Anything else that the service refuses.
    #[error("{place} refuses the request for {group} ({detail})")]
    Refused {
        /// The group, or the prefix of groups.
        group: String,
        /// Endpoint.
        place: String,
        /// The service's own words.
        detail: String,
    },
    /// The position that an earlier run kept cannot be understood.
    #[error("cannot go on in a log group: its stored position is unreadable ({why})")]
    Position {
        /// What is wrong with it.
        why: String,
    },
    /// Bad options, found before anything is sent.
    #[error("{0}")]
    Config(String),
}

impl LogsError {
    /// What it means for the next call.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Throttled { .. } => Fault::Throttled,
            Self::Unreachable { .. } | Self::Unavailable { .. } | Self::SkewedClock { .. } => Fault::Transient,
            Self::Credentials { .. } => Fault::Credentials,
            Self::Parameter { .. } => Fault::Parameter,
            Self::NoSuchGroup { .. }
            | Self::AccessDenied { .. }
            | Self::Refused { .. }
            | Self::Position { .. }
            | Self::Config(_) => Fault::Group,
        }
    }
}
