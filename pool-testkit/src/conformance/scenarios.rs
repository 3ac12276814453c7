//! The [scenarios](crate::scenario), each as a case.

use super::harness::{Harness, Outcome};
use super::trial::Trial;
use crate::scenario::{self, Scenario};

macro_rules! scenarios {
    ($($case:ident $file:literal;)*) => {
        $(
            #[doc = concat!("Plays the scenario `", $file, "`.")]
            pub async fn $case<H: Harness>(t: Trial<H>) -> Outcome {
                let text = include_str!(concat!("../../scenarios/", $file));
                let scenario = Scenario::parse($file, text);
                scenario::run(&t, &scenario.unwrap_or_else(|error| panic!("{error}"))).await
            }
        )*

        #[cfg(test)]
        const FILES: &[(&str, &str, &str)] = &[$(
            (stringify!($case), $file, include_str!(concat!("../../scenarios/", $file))),
        )*];
    };
}

scenarios! {
    scenario_r01_bound "r01.toml";
    scenario_r02_order "r02.toml";
    scenario_r03_cancelled_connect "r03.toml";
    scenario_r04_race "r04.toml";
    scenario_r05_no_storm "r05.toml";
    scenario_r06_sizes "r06.toml";
    scenario_r07_deadline "r07.toml";
    scenario_r08_zero_none_huge "r08.toml";
    scenario_r09_lifetime "r09.toml";
    scenario_r12_permanent "r12.toml";
    scenario_r13_capacity "r13.toml";
    scenario_r14_cancel "r14.toml";
    scenario_r15_panics "r15.toml";
    scenario_r16_suspicion "r16.toml";
    scenario_r17_return "r17.toml";
    scenario_r18_no_inheritance "r18.toml";
    scenario_r19_proof "r19.toml";
    scenario_r20_controls "r20.toml";
    scenario_r21_close "r21.toml";
    scenario_r23_holders "r23.toml";
    scenario_r24_counts "r24.toml";
    scenario_r25_secrets "r25.toml";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::conformance::suite;
    use crate::{FakeManager, FakeServer};

    struct Fake;

    impl Harness for Fake {
        type Manager = FakeManager;

        async fn new() -> Self {
            Self
        }
        fn manager(&self) -> FakeManager {
            FakeServer::new().manager()
        }
    }

    #[test]
    fn every_file_is_a_case_named_for_its_rule_in_the_group_that_it_needs() {
        let suite = suite::<Fake>();
        for (case, file, text) in FILES {
            let scenario = Scenario::parse(file, text).unwrap();
            let rule = scenario.rule().to_lowercase().replace('r', "");
            let number = format!("r{:0>2}", rule);
            assert_eq!(*file, format!("{number}.toml"));
            assert!(case.starts_with(&format!("scenario_{number}_")), "{case} plays {file}");
            let listed = suite.iter().find(|listed| listed.name() == *case);
            let listed = listed.unwrap_or_else(|| panic!("{case} is not listed"));
            assert_eq!(listed.needs(), scenario.needs(), "{case}");
        }
        let there = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap();
        let there: BTreeSet<String> =
            there.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let played = FILES.iter().map(|(_, file, _)| (*file).to_owned()).collect();
        assert_eq!(there, played);
    }
}
