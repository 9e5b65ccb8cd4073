//! The checks as JUnit XML, which hosted CIs read. Without times and host names: the same checks give the same file.

use std::path::Path;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Case, Check, text};
use crate::report::ReportError;
use crate::report::files::write_whole;

/// The text of the file: a test case a scenario.
pub fn xml(cases: &[Case], checks: &[Check]) -> String {
    let mut suite = TestSuite::new("baselines");
    for (case, check) in cases.iter().zip(checks) {
        let mut status = TestCaseStatus::success();
        if !check.held() {
            let kind = if matches!(check, Check::GaveUp(_)) { NonSuccessKind::Error } else { NonSuccessKind::Failure };
            status = TestCaseStatus::non_success(kind);
            status.set_message(text::headline(check)).set_description(text::details(check));
        }
        let mut test = TestCase::new(case.name.as_str(), status);
        test.set_classname("sim.regress");
        suite.add_test_case(test);
    }
    let mut report = Report::new("sim regress");
    report.add_test_suite(suite);
    report.to_string().expect("text without control characters can be written")
}

/// Writes it, whole or not at all.
pub fn write(cases: &[Case], checks: &[Check], file: &Path) -> Result<(), ReportError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().map_or_else(|| "junit.xml".to_owned(), |name| name.to_string_lossy().into_owned());
    write_whole(folder, &name, |path| std::fs::write(path, xml(cases, checks)))
}
