//! Claims objects, asks the plan, commits one transaction per verdict
