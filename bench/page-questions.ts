/** A question that one of the fetched pages answers, written by hand from its article. */
export interface PageQuestion {
  /** How the page's key begins. */
  readonly page: string;
  readonly question: string;
  /** As it stands on the page. */
  readonly answer: string;
}

export const PAGE_QUESTIONS: readonly PageQuestion[] = (
  [
    ['04a671', 'How many people in Louisiana got health coverage when Medicaid was expanded?', '400,000'],
    ['058445', 'How far does the electric Volkswagen wagon go on one charge?', '300 miles'],
    ['058445', 'How powerful is the Space Vizzion with a second motor?', '355 horsepower'],
    ['06ee19', 'What does the ID. Space Vizzion have in place of door handles?', 'touch pads'],
    ['076f4f', 'What is the oxygen bar in Delhi called?', 'Oxy Pure'],
    ['098bb3', 'How much has Disney spent on technology and shows for its streaming service?', '$3 billion'],
    ['0e014d', 'What plastic are Arrowhead water bottles made from?', 'PET plastic'],
    ['16c30a', 'Which law did Punjab pass in 2009 to save groundwater?', 'Preservation of Subsoil Water Act'],
    ['1ace8c', 'When did WeWork’s parent withdraw the filing for its IPO?', 'Sept. 30'],
    ['232a43', 'Which analyst predicted the new keyboard for the 13-inch MacBook Pro?', 'Ming-Chi Kuo'],
    ['291a8b', 'What does Marc Benioff run his business on?', 'my phone'],
    ['359fee', 'How much of Titan is covered by plains?', '65 percent'],
    ['359fee', 'Who at the European Space Agency worked on the map of Titan?', 'Anezina Solomonidou'],
    ['39d5c4', 'What would some White House advisers like China to agree to?', 'agricultural purchases'],
    ['3cb22b', 'How long does the Audi e-tron Sportback take from 0 to 62 mph with boost?', '5.7 seconds'],
    ['3ce1c8', 'Who won the 100 yard freestyle for Wichita East?', 'Hugh McPherson'],
    ['3d8f34', 'Where did Mary Steenburgen buy a house when she took up songwriting?', 'Nashville'],
    ['3f65af', 'What has South Dakota paid the agency behind its meth campaign this year?', '$449,000'],
    ['42aad1', 'How large a budget did NASA request for 2020?', '$22.6bn'],
    ['4648a4', 'What is ExpApp’s subscription for unlimited tickets called?', 'INWEGO'],
    ['51d066', 'How did police get through the door of the kidnapping suspect’s room?', 'a ram'],
    ['55bb63', 'At which awards may Taylor Swift not perform her old songs?', 'American Music Awards'],
    ['57d46c', 'How many points did the Nasdaq gain on the day of the report on Asian shares?', '20.72'],
    ['5ae11e', 'Which handset can show the alarms to clinical staff?', 'Myco 2'],
    ['5caf91', 'Who is the interim police chief of BART?', 'Ed Alvarez'],
    ['5f9c5e', 'How much did Lakshwinder Singh give to an agent in Amritsar?', 'Rs 25 lakh'],
    ['5fa315', 'What killed a man during a clash between protesters and police in Hong Kong?', 'a brick'],
    ['5fa567', 'Which older keyboard does the one of the 16-inch MacBook resemble?', 'Magic Keyboard'],
    ['624fcd', 'Where does the Chinese ambassador say that the army already is?', 'Hong Kong garrison'],
    ['654082', 'Which court ruling made Indian bank stocks rise?', 'Essar Steel'],
    ['65bf30', 'How hot did the keys of the 2018 i9 MacBook Pro get under load?', '107 degrees'],
    ['65ce3a', 'How many yards did Tre Harbison rush for?', '112 yards'],
    ['aadb38', 'How quickly does the roof of the Lexus LC 500 Convertible close?', '16 seconds'],
    ['aade2e', 'Who tested the frame rate of Red Dead Redemption 2 on Stadia?', 'Digital Foundry'],
    ['b37be3', 'Who heads the research team on hibernating astronauts?', 'Jennifer Ngo-Anh'],
    [
      'b6906c',
      'Who of the Peterson Institute says that firms pass tariffs on to consumers?',
      'Monica de Bolle',
    ],
    ['ba4dfe', 'Which bacterium causes the plague?', 'Yersinia pestis'],
    ['bc13ff', 'How much did SoftBank commit to rescue WeWork?', '$9.5 billion'],
    [
      'ec7fc4',
      'What are people selling who push solutions for visibility online?',
      'Courses on writing a book',
    ],
    ['bd673b', 'What did the man’s blood have antibodies to?', 'duck or goose feathers'],
    [
      'c467d5',
      'How many people fell ill in the outbreak of the mosquito virus in Michigan?',
      '10 human cases',
    ],
    ['c7e39a', 'Where did Julian Assange take refuge in London?', 'Ecuadorean embassy'],
    ['c81e13', 'How many goals did Osas Osaro score against Cocoa?', '3 goals'],
    ['c90731', 'What did Grisham call the impeachment proceedings?', 'illegitimate'],
    ['d0382c', 'How many people did PG&E first expect to lose power?', '660,000'],
    ['d1c57d', 'Which lander does Blue Origin offer NASA?', 'Blue Moon'],
    ['d605bd', 'Which Oanda analyst commented on the Asian markets?', 'Jeffrey Halley'],
    ['e100c9', 'At what resolution does Red Dead Redemption 2 run on Stadia?', '1440p'],
    ['e1c702', 'By how much would hibernation reduce the mass of the spacecraft?', 'by a third'],
    ['e7d77f', 'What does the 38mm Apple Watch Series 3 cost on Black Friday?', '$169.99'],
    ['ea25dd', 'How many people were quarantined after contact with the plague patient?', '28 people'],
    ['ecb46e', 'How many shots did Joonas Korpisalo stop?', '30 shots'],
    ['f344ca', 'In which journal was the water vapour on Europa published?', 'Nature Astronomy'],
    ['f81c6c', 'How many times their yearly expenses does someone save for LeanFIRE?', '25 times'],
    ['f8ff62', 'Which Jefferies analyst wrote about Home Depot?', 'Jonathan Matuszewski'],
    ['fde930', 'Which cloud startup did Google buy?', 'CloudSimple'],
  ] as const
).map(([page, question, answer]) => ({ page, question, answer }));
