"""The Pulumi program: register the resources of one stack, as its stack file describes them."""

from components import program
from core import lifetime

lifetime.end_with_engine()
program.run()
