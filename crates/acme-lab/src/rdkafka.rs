//! `rdkafka_performance`, librdkafka's own measure of itself, built from the source that the crate `rdkafka-sys` carries.

use crate::process::once;
use crate::{run, without_cargo};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of librdkafka.
pub const VERSION: &str = "2.12.1";
/// The crate with its source.
const CRATE: &str = "4.10.0";

/// The program, built the first time.
pub fn performance() -> Result<PathBuf> {
    Ok(once(&format!("rdkafka-{VERSION}"), install)?.join("rdkafka_performance"))
}

fn install(into: &Path) -> Result<()> {
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
    let source = into.join("vendored/rdkafka-sys/librdkafka");
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
