//! Read `tests/vectors/cryptoauth.json` for the tests of crypto and cryptoauth.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use dexmesh_engine::crypto::{Address, LocalKeys};
use dexmesh_engine::cryptoauth::{Credential, Users};
use serde_json::Value;

pub fn vectors() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/cryptoauth.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn bytes(value: &Value) -> Vec<u8> {
    unhex(value.as_str().unwrap_or_else(|| panic!("no hex: {value}")))
}

pub fn unhex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

pub fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

pub fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name]
        .as_array()
        .unwrap_or_else(|| panic!("no list {name}"))
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text {name}"))
}

pub fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

pub fn address(text: &str) -> Address {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

pub fn keys_of(vectors: &Value, identity: &str) -> Arc<LocalKeys> {
    Arc::new(LocalKeys::new(array(
        &vectors["identities"][identity]["private"],
    )))
}

pub fn credential(value: &Value) -> Option<Credential> {
    let password = value["password"].as_str()?.as_bytes();
    Some(match value["login"].as_str() {
        Some(login) => Credential::login(login.as_bytes(), password),
        None => Credential::password(password),
    })
}

/// The users the reference was configured with, after its own.
pub fn users(vectors: &Value, name: &str) -> Users {
    let mut users = Users::new();
    users
        .add(Some(b"Local Peers"), b"0123456789bcdfghjklm", None)
        .unwrap();
    for user in list(&vectors["users"], name) {
        let only_from = user["only_ipv6"].as_str().map(address);
        let login = user["login"].as_str().map(str::as_bytes);
        users
            .add(login, text(user, "password").as_bytes(), only_from)
            .unwrap();
    }
    users
}
