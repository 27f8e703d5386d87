//! Tables as the DC/OS command line prints them: two spaces between columns, no rules.

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// At its left edge.
    Left,
    /// At its right edge.
    Right,
    /// In its middle.
    Centre,
}

/// A table; a cell may have several lines.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes a table without rows.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; it has a cell for every column.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// The whole table, header first, every line ended; lines have no trailing blanks.
    pub(crate) fn render(&self) -> String {
        let header: Vec<String> = self
            .columns
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let rows: Vec<&Vec<String>> = std::iter::once(&header).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                rows.iter()
                    .map(|row| cell_width(&row[column]))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        rows.iter()
            .map(|row| self.render_row(row, &widths))
            .collect()
    }

    fn render_row(&self, row: &[String], widths: &[usize]) -> String {
        let height = row
            .iter()
            .map(|cell| cell.split('\n').count())
            .max()
            .unwrap_or(1);
        let mut text = String::new();
        for line in 0..height {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .zip(&self.columns)
                .map(|((cell, width), (_, align))| {
                    justify(cell.split('\n').nth(line).unwrap_or(""), *width, *align)
                })
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

fn cell_width(cell: &str) -> usize {
    cell.split('\n')
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
}

/// Pads `text` to `width`. An odd blank of a centred text goes to the right of a text of odd length and to the
/// left of one of even length, as in the Python tables that DC/OS used.
fn justify(text: &str, width: usize, align: Align) -> String {
    let length = text.chars().count();
    let excess = width.saturating_sub(length);
    let left = match align {
        Align::Left => 0,
        Align::Right => excess,
        Align::Centre if length.is_multiple_of(2) => excess.div_ceil(2),
        Align::Centre => excess / 2,
    };
    format!("{}{text}{}", " ".repeat(left), " ".repeat(excess - left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_two_apart_and_cells_may_have_lines() {
        let mut table = Table::new(&[
            ("ID", Align::Left),
            ("COUNT", Align::Centre),
            ("SIZE", Align::Right),
        ]);
        table.push(vec!["/a\n |-x".to_owned(), "1".to_owned(), "7".to_owned()]);
        table.push(vec![
            "/long-id".to_owned(),
            "10".to_owned(),
            "12345".to_owned(),
        ]);
        insta::assert_snapshot!(table.render(), @r"
        ID        COUNT   SIZE
        /a          1        7
         |-x
        /long-id    10   12345
        ");
    }

    #[test]
    fn odd_blanks_stand_where_dcos_has_them() {
        assert_eq!(justify("2", 9, Align::Centre), "    2    ");
        assert_eq!(justify("10", 9, Align::Centre), "    10   ");
        assert_eq!(justify("100", 4, Align::Centre), "100 ");
    }
}
