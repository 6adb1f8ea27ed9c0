"""The battery's panels: test distributions of levels, built, kept in files."""
