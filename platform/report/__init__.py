"""What people look at: tables in a terminal, figures, pictures of episodes. Runs no agent."""
