//! What if there is no PostgreSQL? Root on Debian gets it installed; everybody else is told
//! exactly what to type.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::binaries::{self, Binaries, Places, VARIABLE};

/// What can be done on a machine without PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Install Debian's package.
    Install,
    /// Tell the user this.
    Tell(String),
}

/// What the advice depends on.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// The text of `/etc/os-release`, empty where there is none.
    pub os_release: String,
    /// Whether this is a Mac.
    pub mac: bool,
    /// Whether we may install packages.
    pub root: bool,
    /// The server package that Debian believes to be installed: somebody took its files away.
    pub registered: Option<String>,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        Self {
            os_release: fs::read_to_string("/etc/os-release").unwrap_or_default(),
            mac: cfg!(target_os = "macos"),
            root: rustix::process::geteuid().is_root(),
            registered: server_package(&packages()),
        }
    }

    /// The names of this system and of those it is like: `ubuntu`, `debian`.
    fn families(&self) -> impl Iterator<Item = &str> {
        self.os_release
            .lines()
            .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
            .flat_map(|names| names.trim_matches(['"', '\'']).split_whitespace())
    }
}

/// Says what to do on a machine without PostgreSQL's server programs.
pub fn advice(machine: &Machine) -> Advice {
    let is = |name: &str| machine.families().any(|family| family == name);
    let reinstall;
    let command = if let Some(package) = &machine.registered {
        // Installing again could replace or restart a server that is in use: not ours to decide.
        reinstall = format!("sudo apt-get install --reinstall {package}");
        &reinstall
    } else if is("debian") || is("ubuntu") {
        if machine.root {
            return Advice::Install;
        }
        "sudo apt-get install postgresql"
    } else if is("fedora") || is("rhel") {
        "sudo dnf install postgresql-server postgresql-contrib"
    } else if is("alpine") {
        "sudo apk add postgresql postgresql-contrib"
    } else if is("arch") {
        "sudo pacman -S postgresql"
    } else if is("suse") || is("opensuse") {
        "sudo zypper install postgresql-server postgresql-contrib"
    } else if machine.mac {
        "brew install postgresql@17"
    } else {
        return Advice::Tell(format!(
            "PostgreSQL's server programs (initdb, postgres, pg_ctl) were not found: install \
             PostgreSQL 15 or later and set {VARIABLE} to the folder that holds them"
        ));
    };
    Advice::Tell(format!(
        "PostgreSQL's server programs (initdb, postgres, pg_ctl) were not found. Install them \
         with\n\n    {command}\n\nor set {VARIABLE} to the folder that holds them"
    ))
}

/// The server's programs, installed if need be.
///
/// # Errors
/// When they are missing and can not be installed here: the text says what to type.
pub fn find_or_install() -> Result<Binaries> {
    let places = Places::here();
    if let Some(bin) = binaries::find(&places)? {
        return Binaries::at(bin);
    }
    match advice(&Machine::here()) {
        Advice::Tell(what) => bail!(what),
        Advice::Install => {
            println!("==> postgres: not found, installing Debian's package");
            install_on_debian(Path::new("/etc/postgresql-common/createcluster.d"))?;
            match binaries::find(&places)? {
                Some(bin) => Binaries::at(bin),
                None => bail!(
                    "Debian's package `postgresql` is installed, but its server programs are not \
                     in {}: set {VARIABLE} to the folder that holds them",
                    places.versions.display()
                ),
            }
        }
    }
}

/// Installs the package, but without the system-wide server that it starts by default: nobody
/// asked for one, and it would take port 5432.
fn install_on_debian(options: &Path) -> Result<()> {
    let no_server = options.join("keystep-tests.conf");
    let reason = "could not switch off the package's own server";
    fs::create_dir_all(options).context(reason)?;
    fs::write(&no_server, "create_main_cluster = false\n").context(reason)?;
    let installed = apt_get_install("postgresql").with_context(|| {
        format!(
            "install the package `postgresql` by hand, or set {VARIABLE} to the folder that holds \
             initdb, postgres and pg_ctl"
        )
    });
    fs::remove_file(&no_server).context("could not restore the package's default")?;
    installed
}

/// Debian's list of packages, as `name status` lines; empty on other systems.
fn packages() -> String {
    let query = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .arg("postgresql-[0-9]*")
        .output();
    query.map_or_else(
        |_no_debian| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// The newest package `postgresql-VERSION` that is installed.
fn server_package(packages: &str) -> Option<String> {
    let installed = packages.lines().filter_map(|line| {
        let name = line.strip_suffix(" installed")?;
        let version = name.strip_prefix("postgresql-")?.parse::<u32>().ok()?;
        Some((version, String::from(name)))
    });
    installed.max().map(|(_version, name)| name)
}

/// Installs a Debian package.
pub(crate) fn apt_get_install(package: &str) -> Result<()> {
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", package])
}

fn apt_get(args: &[&str]) -> Result<()> {
    let line = format!("apt-get {}", args.join(" "));
    println!("==> {line}");
    let status = Command::new("apt-get")
        // Somebody else may be installing at this moment.
        .args(["-o", "DPkg::Lock::Timeout=120"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .with_context(|| format!("could not start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(os_release: &str, mac: bool, root: bool) -> Advice {
        advice(&Machine {
            os_release: String::from(os_release),
            mac,
            root,
            registered: None,
        })
    }

    #[test]
    fn only_root_on_debian_and_its_children_gets_it_installed() {
        let ubuntu = "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n";
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        for system in ["ID=debian\n", ubuntu, mint] {
            assert_eq!(told(system, false, true), Advice::Install, "{system}");
        }
        assert_ne!(told("ID=fedora\n", false, true), Advice::Install);
        assert_ne!(told("", false, true), Advice::Install);
    }

    #[test]
    fn everybody_else_is_told_the_command_of_their_system() {
        let systems = [
            ("ID=debian\n", false, "sudo apt-get install postgresql"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel fedora\"\n", false, "dnf install"),
            ("ID=alpine\n", false, "apk add postgresql"),
            ("", true, "brew install postgresql"),
            ("ID=nixos\n", false, "install PostgreSQL 15 or later"),
        ];
        for (system, mac, command) in systems {
            let Advice::Tell(text) = told(system, mac, false) else {
                panic!("{system}: an ordinary user can not install");
            };
            assert!(text.contains(command), "{system}: {text}");
            assert!(text.contains(VARIABLE), "{system}: {text}");
        }
    }

    #[test]
    fn a_package_that_lost_its_files_is_named_and_left_to_the_user() {
        let packages = "postgresql-13 config-files\npostgresql-9.6 installed\n\
                        postgresql-15 installed\npostgresql-15-cron installed\n";
        assert_eq!(server_package(packages), Some("postgresql-15".into()));
        assert_eq!(server_package("postgresql-15 config-files\n"), None);
        let machine = Machine {
            os_release: String::from("ID=debian\n"),
            root: true,
            registered: server_package(packages),
            ..Machine::default()
        };
        let Advice::Tell(text) = advice(&machine) else {
            panic!("the package could be in use");
        };
        assert!(text.contains("--reinstall postgresql-15"), "{text}");
    }
}
