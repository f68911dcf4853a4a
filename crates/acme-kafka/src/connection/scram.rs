//! The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding, as Kafka speaks it.
//!
//! Kafka prepares neither name nor password (no SASLprep): their UTF-8 bytes count.

use crate::config::ScramHash;
use acme_types::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

/// More iterations than any broker is set to; a broker must not keep our core busy for minutes.
const ITERATIONS_MAX: u32 = 1_000_000;
/// What Kafka's brokers accept, and the least that RFC 7677 allows.
const ITERATIONS_MIN: u32 = 4_096;

/// One exchange.
pub(super) struct Scram {
    hash: ScramHash,
    password: Secret,
    nonce: String,
    first_bare: String,
    server_signature: Vec<u8>,
}

impl Scram {
    pub(super) fn new(hash: ScramHash, username: &str, password: Secret, nonce: String) -> Self {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={username},r={nonce}");
        Self { hash, password, nonce, first_bare, server_signature: Vec::new() }
    }

    /// The first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// Answers the server's challenge.
    pub(super) fn answer(&mut self, challenge: &[u8]) -> Result<String, String> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "the challenge is not UTF-8")?;
        let field = |name: &str| {
            let mut fields = challenge.split(',');
            fields
                .find_map(|field| field.strip_prefix(name))
                .ok_or_else(|| format!("the challenge has no field {name}"))
        };
        let (nonce, salt, iterations) = (field("r=")?, field("s=")?, field("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the challenge is not an answer to our nonce".to_owned());
        }
        let salt = BASE64.decode(salt).map_err(|_| "the salt is not base64")?;
        let iterations: u32 = iterations.parse().map_err(|_| "the number of iterations is no number")?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(format!(
                "the broker asks for {iterations} iterations; {ITERATIONS_MIN} to {ITERATIONS_MAX} are accepted"
            ));
        }
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{without_proof}", self.first_bare);
        let password = self.password.reveal().as_bytes();
        let (proof, signature) = match self.hash {
            ScramHash::Sha256 => prove::<Hmac<Sha256>>(password, &salt, iterations, &message, sha256),
            ScramHash::Sha512 => prove::<Hmac<Sha512>>(password, &salt, iterations, &message, sha512),
        };
        self.server_signature = signature;
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
    }

    /// Checks that the server knows the password too.
    pub(super) fn verify(&self, verdict: &[u8]) -> Result<(), String> {
        let verdict = std::str::from_utf8(verdict).map_err(|_| "the verdict is not UTF-8")?;
        if let Some(reason) = verdict.strip_prefix("e=") {
            return Err(reason.to_owned());
        }
        let signature = verdict.strip_prefix("v=").and_then(|text| text.split(',').next());
        let signature = signature.and_then(|text| BASE64.decode(text).ok());
        if signature.as_deref() == Some(&self.server_signature) && !self.server_signature.is_empty() {
            return Ok(());
        }
        Err("the broker cannot prove that it knows the password".to_owned())
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

fn sha512(bytes: &[u8]) -> Vec<u8> {
    Sha512::digest(bytes).to_vec()
}

/// The client's proof and the signature that the server must show (RFC 5802, section 3).
fn prove<M: Mac + KeyInit + Clone>(
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    message: &str,
    hash: fn(&[u8]) -> Vec<u8>,
) -> (Vec<u8>, Vec<u8>) {
    let salted = salted_password::<M>(password, salt, iterations);
    let client_key = mac::<M>(&salted, b"Client Key");
    let signature = mac::<M>(&hash(&client_key), message.as_bytes());
    let proof = client_key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
    (proof, mac::<M>(&mac::<M>(&salted, b"Server Key"), message.as_bytes()))
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    keyed::<M>(key).chain_update(message).finalize().into_bytes().to_vec()
}

/// What a cluster keeps of a password, and what is sent to it (KIP-554).
pub(crate) fn salted(hash: ScramHash, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    match hash {
        ScramHash::Sha256 => salted_password::<Hmac<Sha256>>(password, salt, iterations),
        ScramHash::Sha512 => salted_password::<Hmac<Sha512>>(password, salt, iterations),
    }
}

/// `Hi` of RFC 5802: PBKDF2 of one block.
fn salted_password<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let keyed = keyed::<M>(password);
    let once = |message: &[&[u8]]| {
        let mut mac = keyed.clone();
        message.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes()
    };
    let mut last = once(&[salt, &1_u32.to_be_bytes()]);
    let mut sum = last.to_vec();
    for _ in 1..iterations {
        last = once(&[&last]);
        sum.iter_mut().zip(last.iter()).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Scram {
        let password = Secret::new("pencil".to_owned());
        Scram::new(ScramHash::Sha256, "user", password, "rOprNGfwEbeRWgbNEkqO".to_owned())
    }

    const CHALLENGE: &[u8] =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    /// RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let mut scram = example();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(
            scram.answer(CHALLENGE).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
    }

    #[test]
    fn a_broker_that_does_not_know_the_password_is_refused() {
        let mut scram = example();
        let verdict = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=";
        assert!(scram.verify(verdict).is_err());
        scram.answer(CHALLENGE).unwrap();
        assert!(scram.verify(verdict).is_err());
        assert!(scram.verify(b"v=").is_err());
        assert_eq!(scram.verify(b"e=other-error").unwrap_err(), "other-error");
    }

    #[test]
    fn a_challenge_that_makes_no_sense_is_refused() {
        let cases: [(&[u8], &str); 5] = [
            (b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "not an answer to our nonce"),
            (b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "not an answer to our nonce"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000", "iterations"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", "iterations"),
            (b"hello", "no field r="),
        ];
        for (challenge, reason) in cases {
            let error = example().answer(challenge).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_user_name_cannot_smuggle_in_a_field() {
        let scram = Scram::new(ScramHash::Sha512, "a,n=b", Secret::new("p".into()), "x".to_owned());
        assert_eq!(scram.first(), "n,,n=a=2Cn=3Db,r=x");
    }
}
