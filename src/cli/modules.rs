//! sentence-transformers' folders: `modules.json` lists what happens to a text, one folder a step.
//!
//! Invariant: a step that would not be computed as listed is refused by name.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::files::FilesError;
use super::{CliError, read_file};

/// The weights of the dense layer behind the pooling, where the folder `dir` lists one.
///
/// # Errors
/// Files that are no JSON; pooling other than the mean, a dense layer with an activation, steps of another kind.
pub fn dense_layer(dir: &Path) -> Result<Option<PathBuf>, CliError> {
    #[derive(Deserialize)]
    struct Module {
        path: String,
        r#type: String,
    }
    let list = dir.join("modules.json");
    if !list.exists() {
        return Ok(None);
    }
    let modules: Vec<Module> = serde_json::from_value(json(&list)?)
        .map_err(|source| FilesError::Json { path: list.clone(), source })?;
    let mut dense = None;
    for Module { path, r#type } in modules {
        let refused = |what: String| FilesError::Module { list: list.clone(), what };
        // A download's list must not lead out of its folder.
        if !path.is_empty() && Path::new(&path).file_name() != Some(path.as_ref()) {
            return Err(refused(format!("{path:?}, which is no folder beside it")).into());
        }
        let config = || json(&dir.join(&path).join("config.json"));
        match r#type.rsplit('.').next().unwrap_or_default() {
            "Transformer" if path.is_empty() => (),
            // Similarities are cosines anyway.
            "Normalize" => (),
            "Pooling" => {
                let config = config()?;
                let is_on = |key: &&str| config[*key] == true;
                let keys = config.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
                let modes: Vec<&str> =
                    keys.filter(|key| key.starts_with("pooling_mode_")).filter(|key| is_on(key)).collect();
                if modes != ["pooling_mode_mean_tokens"] && config["pooling_mode"] != "mean" {
                    return Err(
                        refused(format!("pooling by {modes:?}; only the mean of tokens is known")).into()
                    );
                }
            }
            "Dense" if dense.is_none() => {
                let config = config()?;
                let activation = config["activation_function"].as_str().unwrap_or("Tanh").to_owned();
                if !activation.ends_with("Identity") {
                    return Err(refused(format!(
                        "a dense layer with {activation}; only one without is known"
                    ))
                    .into());
                }
                dense = Some(dir.join(&path).join("model.safetensors"));
            }
            _ => return Err(refused(format!("the step {:?} in {path:?}, which is not known", r#type)).into()),
        }
    }
    Ok(dense)
}

fn json(path: &Path) -> Result<Value, CliError> {
    let parsed = serde_json::from_slice(&read_file(path)?);
    Ok(parsed.map_err(|source| FilesError::Json { path: path.to_owned(), source })?)
}
