//! Layout: the table of `get` and the tab stops of `describe`.
//!
//! Both follow the elastic tab stops that kubectl's writers use (Go `text/tabwriter`, cli-runtime `pkg/printers`): a cell ends with a
//! tab, a column is a block of consecutive lines that have a cell there, its width is that of the widest cell plus the padding; what
//! follows the last tab of a line belongs to no column and is never padded. Widths count characters, not bytes.

/// The table of `get`: columns are at least 6 wide, padding included, with 3 blanks between them.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| one_line(cell)).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    align(&text, 6, 3)
}

/// A cell that has several lines shows the first and three dots; escape characters are shown, not sent to the terminal.
fn one_line(cell: &str) -> String {
    let cut = match cell.find(['\n', '\r', '\u{c}']) {
        Some(end) => format!("{}...", &cell[..end]),
        None => cell.to_owned(),
    };
    if cut.contains('\u{1b}') { cut.replace('\u{1b}', "^[") } else { cut }
}

/// Replaces tabs by blanks, so that columns line up.
pub fn align(text: &str, minimum: usize, padding: usize) -> String {
    let ends_with_newline = text.ends_with('\n');
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<Vec<&str>> = body.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut aligner = Aligner { lines: &lines, minimum, padding, widths: Vec::new(), out: String::with_capacity(text.len() * 2) };
    aligner.block(0, lines.len());
    let mut out = aligner.out;
    if !ends_with_newline {
        out.pop();
    }
    out
}

struct Aligner<'a> {
    lines: &'a [Vec<&'a str>],
    minimum: usize,
    padding: usize,
    /// Of the columns to the left of the block at work.
    widths: Vec<usize>,
    out: String,
}

impl Aligner<'_> {
    /// Writes lines `from..to`, all of which have the cells of the columns in `widths`.
    fn block(&mut self, from: usize, to: usize) {
        let column = self.widths.len();
        let has_cell = |line: &Vec<&str>| column + 1 < line.len();
        let mut line = from;
        while line < to {
            if !has_cell(&self.lines[line]) {
                self.write(line);
                line += 1;
                continue;
            }
            let end = (line..to).find(|next| !has_cell(&self.lines[*next])).unwrap_or(to);
            let widest = self.lines[line..end].iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
            self.widths.push((widest + self.padding).max(self.minimum));
            self.block(line, end);
            self.widths.pop();
            line = end;
        }
    }

    fn write(&mut self, line: usize) {
        let cells = &self.lines[line];
        for (column, cell) in cells.iter().enumerate() {
            self.out.push_str(cell);
            if column + 1 < cells.len() {
                let width = self.widths[column];
                self.out.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
            }
        }
        self.out.push('\n');
    }
}
