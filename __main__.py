"""The Pulumi program: one stack, of the kind that its file says."""

from components import program
from core import lifetime

lifetime.end_with_engine()
program.run()
