//! Tables as files and clipboards carry them: the one writer of CSV and TSV, for the page and for the command.
//!
//! Invariant: every row has a cell for each column, and no text breaks out of its cell.
//! Invariant: what a spreadsheet would run as a formula is kept text with an apostrophe.

/// Tells spreadsheets that a file is UTF-8: Excel reads it as the system's old code page otherwise.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Rows below a line of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// From people or from files: anything may stand in it.
    Text(String),
    /// As it is to be read.
    Number(String),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    /// Six digits behind the point, as far as single precision means anything.
    pub fn number(value: f32) -> Cell {
        Cell::Number(format!("{value:.6}"))
    }
}

impl Table {
    pub fn new(columns: &[&str]) -> Table {
        Table { rows: vec![columns.iter().map(|name| Cell::text(*name)).collect()] }
    }

    pub fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// RFC 4180: commas, quotes where they are needed, CRLF.
    pub fn to_csv(&self) -> String {
        self.written(',')
    }

    /// The same for the clipboard: spreadsheets put it into cells.
    pub fn to_tsv(&self) -> String {
        self.written('\t')
    }

    fn written(&self, separator: char) -> String {
        let mut text = String::new();
        for row in &self.rows {
            for (idx, cell) in row.iter().enumerate() {
                if idx > 0 {
                    text.push(separator);
                }
                match cell {
                    Cell::Text(cell) => text.push_str(&field(cell, separator)),
                    Cell::Number(number) => text.push_str(number),
                }
            }
            text.push_str("\r\n");
        }
        text
    }
}

fn field(text: &str, separator: char) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', separator, '\n', '\r', '\t']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}
