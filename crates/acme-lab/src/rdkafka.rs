//! librdkafka: its own measure of itself, `rdkafka_performance`, built from the source that the crate `rdkafka-sys` carries; and
//! its Python package, which carries a library of its own, for programs that let it do more than `kcat` can be told.

use crate::process::once;
use crate::{run, without_cargo};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of librdkafka.
pub const VERSION: &str = "2.12.1";
/// The crate with its source.
const CRATE: &str = "4.10.0";
/// What the registry says of it.
const CHECKSUM: &str = "e234cf318915c1059d4921ef7f75616b5219b10b46e9f3a511a15eb4b56a3f77";

/// The version of the Python package `confluent-kafka`; its librdkafka is of the same series.
const PACKAGE: &str = "2.16.1";

/// Installs the Python package where it is absent.
pub fn install_python() -> Result<PathBuf> {
    once(&format!("rdkafka-python-{PACKAGE}"), |into| {
        let package = format!("confluent-kafka=={PACKAGE}");
        let arguments =
            ["-m", "pip", "-q", "install", "--no-deps", "--only-binary", ":all:", &package, "--target"];
        run(Command::new("python3").args(arguments).arg(into)).map(drop)
    })
}

/// A command that runs a Python program with the package `confluent_kafka` at hand.
pub fn python(program: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new("python3");
    // Unbuffered: what the program prints is waited for.
    command.args(["-u", "-c", program]).args(arguments).env("PYTHONPATH", install_python()?);
    Ok(command)
}

/// The program, built the first time.
pub fn performance() -> Result<PathBuf> {
    Ok(once(&format!("rdkafka-{VERSION}"), install)?.join("rdkafka_performance"))
}

/// Puts the source into a folder, as `vendored` there, and says where in it the library's own root is.
pub(crate) fn source(into: &Path) -> Result<PathBuf> {
    let manifest = format!(
        "[package]\nname = \"rdkafka-source\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n[dependencies]\n\
         rdkafka-sys = {{ version = \"={CRATE}\", default-features = false, features = [\"libz\"] }}\n"
    );
    std::fs::write(into.join("Cargo.toml"), manifest)?;
    std::fs::create_dir_all(into.join("src"))?;
    std::fs::write(into.join("src/lib.rs"), "")?;
    let vendored = run(without_cargo(&mut Command::new("cargo"))
        .args(["vendor", "-q", "--manifest-path"])
        .args([into.join("Cargo.toml"), into.join("vendored")]))?;
    drop(vendored);
    let package = into.join("vendored/rdkafka-sys");
    let sums = std::fs::read_to_string(package.join(".cargo-checksum.json"))?;
    if !sums.contains(CHECKSUM) {
        bail!("rdkafka-sys {CRATE} is not what it was: {CHECKSUM} is not its checksum");
    }
    Ok(package.join("librdkafka"))
}

fn install(into: &Path) -> Result<()> {
    let source = source(into)?;
    let shell = format!(
        "cd '{}' && chmod +x configure configure.self mklove/* lds-gen.py && ./configure --disable-gssapi --enable-static \
         && make -j2 -C src lib && cc -O2 -DWITH_CURL=0 -o '{}' examples/rdkafka_performance.c -Isrc -I. src/librdkafka.a \
         $(sed -n 's/^LIBS+*=[ \\t]*//p' Makefile.config | tr '\\n' ' ') -lm -lpthread -ldl",
        source.display(),
        into.join("rdkafka_performance").display()
    );
    run(Command::new("sh").args(["-c", &shell])).context("librdkafka cannot be built")?;
    std::fs::remove_dir_all(into.join("vendored"))?;
    Ok(())
}
