"""The biometric report: how often the checks err, on which data, and what was not tested."""
