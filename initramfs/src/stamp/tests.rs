// SPDX-License-Identifier: Apache-2.0
use super::*;

#[test]
fn neighbouring_inputs_do_not_run_together() {
    let hash = |parts: &[(&str, &str)]| {
        let mut inputs = Inputs::new();
        for (name, value) in parts {
            inputs.add(name, value);
        }
        inputs.finish()
    };
    assert_ne!(hash(&[("a", "bc")]), hash(&[("ab", "c")]));
    assert_ne!(
        hash(&[("a", "b"), ("c", "d")]),
        hash(&[("c", "d"), ("a", "b")])
    );
    assert_eq!(hash(&[("a", "b")]), hash(&[("a", "b")]));
}

#[test]
fn a_stage_runs_once_per_input_and_again_after_a_failure() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let output = dir.path().join("artifact");
    let write = |text: &'static str| move |to: &Path| Ok(fs::write(to, text)?);
    assert!(make(&output, "one", write("1"))?);
    assert!(!make(&output, "one", write("never"))?);
    assert!(
        make(&output, "two", |to| {
            fs::write(to, "half")?;
            anyhow::bail!("cable pulled")
        })
        .is_err()
    );
    assert_eq!(
        fs::read_to_string(&output)?,
        "1",
        "the old artifact survives a failure"
    );
    assert!(
        !is_current(&output, "one"),
        "but nobody takes it for current"
    );
    assert!(make(&output, "two", write("2"))?);
    assert_eq!(fs::read_to_string(&output)?, "2");
    assert_eq!(
        fs::read_dir(dir.path())?.count(),
        2,
        "nothing temporary is left"
    );
    Ok(())
}

#[test]
fn a_tree_takes_the_place_of_a_tree() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let output = dir.path().join("tree");
    for (hash, file) in [("one", "a"), ("two", "b")] {
        make(&output, hash, |to| {
            fs::create_dir(to)?;
            Ok(fs::write(to.join(file), "")?)
        })?;
    }
    assert!(output.join("b").exists() && !output.join("a").exists());
    Ok(())
}
