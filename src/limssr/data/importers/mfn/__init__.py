"""The aligned releases of CMU-MOSI, ICT-MMMO and POM."""
