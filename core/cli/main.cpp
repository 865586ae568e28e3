// The program: one verb a file, see the other files of this folder.
int main() { return 0; }
