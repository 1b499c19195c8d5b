"""Did sharing help, when did it turn, and what went along with it: runs, results and findings."""
