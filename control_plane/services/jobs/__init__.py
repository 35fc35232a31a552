"""What users submit: from the submit to the answer why it waits."""
