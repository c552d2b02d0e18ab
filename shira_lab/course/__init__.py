"""What the lessons show: comparisons, measurements, figures, apps and exercises."""
