"""The networks themselves: one module for each way of building one."""
