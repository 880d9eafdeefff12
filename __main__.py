"""The Pulumi program: one stack, of the kind that its file says."""

from components import program
from providers import watch

watch.end_with_engine()
program.run()
