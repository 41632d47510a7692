//! What is in a recorded value? The nonces of attempts, also of those whose outputs ride with it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::uuid;
use crate::place::Recorded;
use crate::protocol::{Attempt, Trail};

/// Something that was recorded, with the attempt that did it.
pub(super) struct Thing {
    /// The step, `STEP::PART` for a part of it, `STEP/undo` for its undo.
    pub(super) step: String,
    pub(super) nonce: Uuid,
}

/// What a checkpoint records. Nothing for one that only says where a run stands.
pub(super) fn things(checkpoint: &Recorded, attempts: &[Attempt]) -> Vec<Thing> {
    let Bundle { riders, value } = opened(&checkpoint.output);
    let mut things: Vec<Thing> = riders
        .iter()
        .map(|(step, output)| output_of(step, output))
        .collect();
    match checkpoint.step.split_once("::@") {
        None => things.push(output_of(&checkpoint.step, &value)),
        Some((step, "undone")) => {
            let step = format!("{step}/undo");
            let mut of_owner = attempts.iter().rev().filter(|attempt| {
                attempt.step == step
                    && attempt.epoch == checkpoint.epoch
                    && uuid(&attempt.run) == checkpoint.run
            });
            // What nobody did was recorded all the same.
            let nonce = of_owner
                .next()
                .map_or(Uuid::nil(), |attempt| uuid(&attempt.nonce));
            things.push(Thing { step, nonce });
        }
        Some(_) => {}
    }
    things
}

/// The nonces of the attempts whose results an output is made of, in the steps' order.
pub(super) fn nonces_in(output: &[u8]) -> Vec<String> {
    let trail: Trail = stored(output);
    trail.nonces
}

/// A stored value.
pub(super) fn stored<T: DeserializeOwned>(bytes: &[u8]) -> T {
    serde_json::from_value(opened(bytes).value).expect("a stored value")
}

#[derive(Deserialize)]
struct Bundle {
    riders: Vec<(String, Value)>,
    value: Value,
}

/// A header of two bytes, of which the first tells whether others ride with the value; then JSON.
fn opened(bytes: &[u8]) -> Bundle {
    let (header, json) = bytes.split_at(2);
    let value = serde_json::from_slice(json).expect("JSON");
    match header[0] {
        1 => Bundle {
            riders: Vec::new(),
            value,
        },
        _ => serde_json::from_value(value).expect("a value and its riders"),
    }
}

/// A step's output has the nonces of all steps so far, a part's is its own.
fn output_of(step: &str, output: &Value) -> Thing {
    let own = match step.contains("::") {
        true => output.clone(),
        false => output["nonces"]
            .as_array()
            .and_then(|all| all.last())
            .cloned()
            .unwrap_or_default(),
    };
    Thing {
        step: step.to_owned(),
        nonce: uuid(own.as_str().expect("each attempt adds its nonce")),
    }
}
