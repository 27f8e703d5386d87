//! Whatever bytes come as a pod definition: they are refused with a reason, or accepted and mean the same when they are
//! written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::pod::{self, Settings};

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings::default();
    match pod::admit(bytes, &settings) {
        Ok(reading) => {
            let _ = pod::unsupported(&reading.definition);
            let _ = reading.definition.instance_resources();
            let text = serde_json::to_vec(&reading.definition).expect("a definition can be written");
            let again = pod::admit(&text, &settings).expect("what was written is accepted");
            assert_eq!(again.definition, reading.definition);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
