//! Hugging Face's text towers: BertModel and DistilBertModel, with sentence-transformers' dense layer where there is one.

use serde::Deserialize;
use serde_json::Value;

use super::rules::{Rules, Transform};
use super::{Imported, config_error, parse_activation};
use crate::models::config::{Pooled, Text, Transformer, check_layers};
use crate::models::{Config, ModelError};
use crate::weights::TensorSource;

/// Hugging Face's BertModel, alone or inside another model.
pub(super) fn bert(json: &Value, weights: &dyn TensorSource) -> Result<Imported, ModelError> {
    let prefix = if weights.contains("bert.embeddings.word_embeddings.weight") { "bert." } else { "" };
    let mut rules = Rules::default();
    let text = bert_tower(&mut rules, json, prefix, Pooled::Mean)?;
    rules.dense_layer();
    Ok((Config { text: Some(text), ..Default::default() }, rules))
}

/// The layers of a BERT whose tensors' names start with `prefix`.
pub(super) fn bert_tower(
    rules: &mut Rules,
    json: &Value,
    prefix: &str,
    pooled: Pooled,
) -> Result<Text, ModelError> {
    #[derive(Deserialize)]
    struct Bert {
        hidden_size: usize,
        intermediate_size: usize,
        num_hidden_layers: usize,
        num_attention_heads: usize,
        hidden_act: String,
        layer_norm_eps: f32,
        max_position_embeddings: usize,
    }
    let bert: Bert = serde_json::from_value(json.clone()).map_err(config_error)?;
    let embedding = |part: &str| format!("{prefix}embeddings.{part}");
    rules.copy("text.token.weight", &embedding("word_embeddings.weight"));
    let position = ["position_embeddings.weight", "token_type_embeddings.weight"].map(embedding);
    rules.push("text.position", &position, Transform::AddFirstRow, false);
    rules.layer("text.embed_norm", &embedding("LayerNorm"));
    for i in 0..check_layers(bert.num_hidden_layers)? {
        let to = |part: &str| format!("text.blocks.{i}.{part}");
        let from = |part: &str| format!("{prefix}encoder.layer.{i}.{part}");
        let qkv = ["attention.self.query", "attention.self.key", "attention.self.value"].map(from);
        rules.stack(&to("qkv"), &qkv);
        rules.layer(&to("out"), &from("attention.output.dense"));
        rules.layer(&to("norm1"), &from("attention.output.LayerNorm"));
        rules.layer(&to("up"), &from("intermediate.dense"));
        rules.layer(&to("down"), &from("output.dense"));
        rules.layer(&to("norm2"), &from("output.LayerNorm"));
    }
    let transformer = Transformer {
        width: bert.hidden_size,
        n_layers: bert.num_hidden_layers,
        n_heads: bert.num_attention_heads,
        n_hidden: bert.intermediate_size,
        activation: parse_activation(&bert.hidden_act)?,
        epsilon: bert.layer_norm_eps,
    };
    Ok(Text::Bert { context_len: bert.max_position_embeddings, pooled, transformer })
}

/// Hugging Face's DistilBertModel: BERT without sentence types, under other names.
pub(super) fn distilbert(json: &Value) -> Result<Imported, ModelError> {
    #[derive(Deserialize)]
    struct DistilBert {
        dim: usize,
        hidden_dim: usize,
        n_layers: usize,
        n_heads: usize,
        activation: String,
        max_position_embeddings: usize,
    }
    let bert: DistilBert = serde_json::from_value(json.clone()).map_err(config_error)?;
    let mut rules = Rules::default();
    rules.copy("text.token.weight", "embeddings.word_embeddings.weight");
    rules.copy("text.position", "embeddings.position_embeddings.weight");
    rules.layer("text.embed_norm", "embeddings.LayerNorm");
    for i in 0..check_layers(bert.n_layers)? {
        let to = |part: &str| format!("text.blocks.{i}.{part}");
        let from = |part: &str| format!("transformer.layer.{i}.{part}");
        let qkv = ["attention.q_lin", "attention.k_lin", "attention.v_lin"].map(from);
        rules.stack(&to("qkv"), &qkv);
        rules.layer(&to("out"), &from("attention.out_lin"));
        rules.layer(&to("norm1"), &from("sa_layer_norm"));
        rules.layer(&to("up"), &from("ffn.lin1"));
        rules.layer(&to("down"), &from("ffn.lin2"));
        rules.layer(&to("norm2"), &from("output_layer_norm"));
    }
    rules.dense_layer();
    let text = Text::Bert {
        context_len: bert.max_position_embeddings,
        pooled: Pooled::Mean,
        transformer: Transformer {
            width: bert.dim,
            n_layers: bert.n_layers,
            n_heads: bert.n_heads,
            n_hidden: bert.hidden_dim,
            activation: parse_activation(&bert.activation)?,
            epsilon: 1e-12, // fixed in DistilBERT's code
        },
    };
    Ok((Config { text: Some(text), ..Default::default() }, rules))
}

impl Rules {
    /// What sentence-transformers puts behind the pooling, in a folder of its own.
    fn dense_layer(&mut self) {
        for part in ["weight", "bias"] {
            self.push(&format!("text.projection.{part}"), &[format!("linear.{part}")], Transform::Copy, true);
        }
    }
}
