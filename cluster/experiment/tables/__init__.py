"""Several configurations, databases and seeds as tables: what is planned, and the runs that come of it."""
