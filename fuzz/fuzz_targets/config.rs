//! The configuration file: whatever is in it, it is read or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = holm_config::Config::parse(text) {
        let written = toml_of(&config);
        assert_eq!(holm_config::Config::parse(&written).expect("what was read can be written and read"), config);
    }
});

fn toml_of(config: &holm_config::Config) -> String {
    config.to_toml()
}
