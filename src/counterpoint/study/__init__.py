"""Plan, runs, results: several trainings on one data source and what they show together."""
