"""From finished runs to a report: tables, pictures, a page."""
