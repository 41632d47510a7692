//! How does somebody who starts a service learn where it is? From the first line it prints.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The line that says: requests are answered from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where.
    pub address: SocketAddr,
    /// The worker's id, as the step table shows it; `None` for a program that is no worker.
    pub worker: Option<String>,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ready on http://{}", self.address)?;
        match &self.worker {
            Some(worker) => write!(f, " as worker {worker}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Ready {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let rest = line.trim().strip_prefix("ready on http://").ok_or(())?;
        let (address, worker) = match rest.split_once(" as worker ") {
            Some((address, worker)) => (address, Some(worker.to_owned())),
            None => (rest, None),
        };
        let address = address.parse().map_err(drop)?;
        Ok(Self { address, worker })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_is_printed_can_be_read() {
        for worker in [None, Some("0123456789abcdef".into())] {
            let address = "127.0.0.1:8080".parse().expect("an address");
            let ready = Ready { address, worker };
            assert_eq!(ready.to_string().parse(), Ok(ready));
        }
        assert_eq!("something else".parse::<Ready>(), Err(()));
    }
}
