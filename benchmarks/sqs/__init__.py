"""SQS on a local server beside what a user would write by hand."""
