"""What must survive the process: the log, blobs, records, and whose disk this is. Everything goes through `Disk`."""
